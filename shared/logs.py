"""How every process logs, and that a broker which is away is not said ten times a second."""

import logging
from typing import Final

EVERY_S: Final = 10.0
KEPT: Final = 200
SOURCES: Final = (
    "aiokafka",
    "aiokafka.consumer.fetcher",
    "aiokafka.producer.sender",
    "shared.kafka.silence",
)
"""Loggers that say the same for each client again and again while a broker is away."""
_LINE: Final = "%(asctime)s %(levelname)s %(name)s %(message)s"


class OnceInAWhile(logging.Filter):
    """Lets the same sentence pass every ten seconds; time is that of the records."""

    def __init__(self) -> None:
        """Have heard nothing."""
        super().__init__()
        self._said_s: dict[str, float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it is said."""
        sentence = record.getMessage()
        said_s = self._said_s.get(sentence)
        if said_s is not None and 0 <= record.created - said_s < EVERY_S:
            return False
        if len(self._said_s) >= KEPT:
            self._said_s.clear()
        self._said_s[sentence] = record.created
        return True


def log_lines() -> None:
    """Log to the standard error from INFO on; the sources say the same once in a while."""
    logging.basicConfig(level=logging.INFO, format=_LINE)
    # It says each request's whole URL: one may carry a secret, and a snapshot has thousands.
    logging.getLogger("httpx").setLevel(logging.WARNING)
    for name in SOURCES:
        source = logging.getLogger(name)
        if not any(isinstance(each, OnceInAWhile) for each in source.filters):
            source.addFilter(OnceInAWhile())
