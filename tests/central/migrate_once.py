"""A process that migrates the store at PLACE; it prints `open` before it begins."""

import sys

from services.central.store import FlowStore

if __name__ == "__main__":
    store = FlowStore.open(sys.argv[1])
    print("open", flush=True)
    store.migrate()
