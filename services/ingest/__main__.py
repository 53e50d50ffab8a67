"""`python -m services.ingest`: arguments and settings -> a running collector."""

import sys

from services.ingest.config import IngestConfig
from shared.config import run_service

# The rest is imported late: settings are read, and refused, before seconds go into libraries.


def _run(config: IngestConfig) -> int:
    from services.ingest.app import run

    return run(config)


def _check(config: IngestConfig) -> None:
    from services.ingest.app import check

    check(config)


if __name__ == "__main__":
    sys.exit(run_service(IngestConfig, _run, check=_check, service="ingest"))
