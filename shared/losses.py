"""Losses: what did not become a flow record, with its place, exporter and reason."""

from dataclasses import dataclass
from enum import IntEnum


class LossReason(IntEnum):
    """Why something was lost. Codes are stored: never change or reuse one."""

    KERNEL_DROP = 1
    RECEIVER_OVERFLOW = 2
    SPOOL_OVERFLOW = 3
    SPOOL_CORRUPT = 4
    UNKNOWN_VERSION = 10
    TRUNCATED = 11
    BAD_COUNT = 12
    BAD_SET_LENGTH = 13
    BAD_TEMPLATE = 14
    TEMPLATE_MISSING = 15
    TOO_LARGE = 16
    BAD_FIELD = 17
    LOG_GAP = 30
    REFUSED_LATE = 31
    QUARANTINED = 32

    @property
    def label(self) -> str:
        """The name people see: `template_missing`."""
        return self.name.lower()


@dataclass(frozen=True, slots=True)
class Loss:
    """One loss within the range of the message that carries it.

    exporter: 16 bytes, `::` where nobody can know it (kernel drops).
    datagrams: how many were lost whole or in part; flows: how many, 0 where nobody can know.
    """

    exporter: bytes
    reason: LossReason
    datagrams: int
    flows: int = 0
