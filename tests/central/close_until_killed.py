"""A process that closes the open minutes of stream 1: `PLACE`. It prints `closing` before each."""

import sys

from services.central.store import FlowStore

if __name__ == "__main__":
    store = FlowStore.open(sys.argv[1])
    for minute in store.open_minutes(1, since=0):
        print("closing", minute, flush=True)
        store.close_minute(1, minute)
