"""A process that inserts ranges until it is killed: `PLACE DAYS`.

It prints `start N` before and `done N` after the insert of datagrams from N on.
"""

import sys

from services.central.store import FlowStore
from services.central.store.flow_store import ONE_PART
from tests.central.flow_values import flow_value, insert

DATAGRAMS = 200
PER_DATAGRAM = 20


def main(place: str, days: int) -> None:
    settings = dict(ONE_PART)
    if days > 1:
        # The safeguard that the negative control goes without.
        settings["max_partitions_per_insert_block"] = 0
    store = FlowStore.open(place, insert_settings=settings)
    store.migrate()
    first = store.flow_maxima().get(1, 0) + 1
    while True:
        print("start", first, flush=True)
        insert(
            store,
            flow_value(first=first, datagrams=DATAGRAMS, per_datagram=PER_DATAGRAM, days=days),
        )
        print("done", first, flush=True)
        first += DATAGRAMS


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
