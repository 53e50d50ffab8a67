"""A process whose files may not grow for a while: `PLACE measured|unmeasured`.

It prints, one a line: whether the closing was refused, and whether the roll-ups can be read.
"""

import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from services.central.store import FlowStore, StoreAway, StoreError
from services.central.store.disk import FREE_BYTES
from tests.central.flow_values import HOUR, ask, flow_value, insert


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))


def main(place: str, free_bytes: int | None) -> None:
    store = FlowStore.open(place, free_bytes=free_bytes)
    store.migrate()
    insert(store, flow_value(datagrams=500))
    try:
        with files_of_at_most(20_000):
            store.close_minute(1, HOUR)
        print("accepted")
    except StoreAway:
        print("away")
    try:
        store.close_minute(1, HOUR)
        sql = "SELECT sumIf(flows, grouping = 9), sum(cityHash64(*)) > 0 FROM rollups"
        print(ask(store, sql))
    except StoreError:
        print("unreadable")
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], FREE_BYTES if sys.argv[2] == "measured" else None)
