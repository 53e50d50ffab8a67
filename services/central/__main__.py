"""`python -m services.central`: arguments and settings -> a running central."""

import gc
import sys

from services.central.config import CentralConfig
from shared.config import run_service

# The rest is imported late: settings are read, and refused, before seconds go into libraries.


def _run(config: CentralConfig) -> int:
    # Looking for garbage among what libraries keep for ever is a fifth of a start.
    gc.disable()
    from services.central.app import run

    gc.freeze()
    gc.enable()
    return run(config)


def _check(config: CentralConfig) -> None:
    from services.central.app import check

    check(config)


if __name__ == "__main__":
    sys.exit(run_service(CentralConfig, _run, check=_check, service="central"))
