"""`python -m services.registry`: arguments and settings -> a running registry."""

import sys

from services.registry.config import RegistryConfig
from shared.config import run_service

# The rest is imported late: settings are read, and refused, before seconds go into libraries.


def _run(config: RegistryConfig) -> int:
    from services.registry.app import run

    return run(config)


def _check(config: RegistryConfig) -> None:
    from services.registry.app import check

    check(config)


if __name__ == "__main__":
    sys.exit(run_service(RegistryConfig, _run, check=_check, service="registry"))
