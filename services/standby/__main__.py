"""`python -m services.standby`: arguments and settings -> a running agent."""

import sys

from services.standby.config import StandbyConfig
from shared.config import run_service

# The rest is imported late: settings are read, and refused, before seconds go into libraries.


def _run(config: StandbyConfig) -> int:
    from services.standby.app import run

    return run(config)


def _check(config: StandbyConfig) -> None:
    from services.standby.app import check

    check(config)


if __name__ == "__main__":
    sys.exit(run_service(StandbyConfig, _run, check=_check, service="standby"))
