"""Prints the bytes on disk of a store's tables: `python -m bench.store_size FOLDER`.

A process of its own, because a process can open one embedded store in its life.
"""

import json
import sys

from services.central.store.purposes import WorkClient

_SIZES = (
    "SELECT table, sum(bytes_on_disk) FROM system.parts "
    "WHERE active AND database = currentDatabase() GROUP BY table"
)


def main(place: str) -> None:
    """Print table -> bytes of its active parts, as JSON."""
    client = WorkClient(place)
    client.open()
    try:
        sizes = {str(table): int(size) for table, size in client.rows(_SIZES)}
    finally:
        client.close()
    json.dump(sizes, sys.stdout)


if __name__ == "__main__":
    main(sys.argv[1])
