"""A central whose store is scanned and frozen for a backup, again and again, while it serves.

`python -m tests.faults.busy_central` is configured as the central is; a line with the number of
rounds is printed after each.
"""

import sys
import threading

from services.central import app
from services.central.config import CentralConfig
from services.central.store.purposes import WorkClient
from shared.config import load

SCAN = "SELECT sum(cityHash64(*)) FROM flows AS one CROSS JOIN numbers(20) AS again"


def work(place: str, stop: threading.Event) -> None:
    client = WorkClient(place)
    client.open()
    rounds = 0
    try:
        while not stop.is_set():
            client.rows(SCAN)
            for table in ("flows", "rollups", "losses"):
                client.command(f"ALTER TABLE {table} FREEZE WITH NAME 'backup{rounds}'")
                client.command(f"ALTER TABLE {table} UNFREEZE WITH NAME 'backup{rounds}'")
            rounds += 1
            print(f"busy rounds={rounds}", flush=True)
    finally:
        client.close()


def main() -> int:
    config = load(CentralConfig)
    stop = threading.Event()
    opened = app.open_central

    def open_central(*arguments: object, **named: object) -> app.Central:
        central = opened(*arguments, **named)  # type: ignore[arg-type]  # passed on
        threading.Thread(target=work, args=(config.store_place, stop), daemon=True).start()
        return central

    app.open_central = open_central
    try:
        return app.run(config)
    finally:
        stop.set()


if __name__ == "__main__":
    sys.exit(main())
