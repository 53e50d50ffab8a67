"""Why something was lost, in words for whoever runs the routers, and what to do about it."""

from typing import Final

from shared.losses import LossReason

EXPLAINED: Final[dict[LossReason, tuple[str, str]]] = {
    LossReason.KERNEL_DROP: (
        "dropped by the collector's kernel",
        "Datagrams came faster than they were read: a larger receive_buffer_bytes (and sysctl "
        "net.core.rmem_max), or more workers.",
    ),
    LossReason.RECEIVER_OVERFLOW: (
        "dropped by the receiver, its spool was full",
        "The decoder does not keep up or does not run: look into the collector's log.",
    ),
    LossReason.SPOOL_OVERFLOW: (
        "discarded from a full spool",
        "Kafka was away for longer than the spool has room: a larger spool_bytes_max.",
    ),
    LossReason.SPOOL_CORRUPT: (
        "damaged on the collector's disk",
        "The spool did not read back as written: check that disk.",
    ),
    LossReason.UNKNOWN_VERSION: (
        "neither NetFlow v5, v9 nor IPFIX",
        "Set the exporter to NetFlow v9 or IPFIX; something else may be sending to this port.",
    ),
    LossReason.TRUNCATED: (
        "datagrams cut short",
        "They end before they say they do: look for a broken exporter, or fragments lost on the "
        "way.",
    ),
    LossReason.BAD_COUNT: (
        "header with a wrong count of records",
        "A fault of the exporter: see whether it has newer firmware.",
    ),
    LossReason.BAD_SET_LENGTH: (
        "set with a wrong length",
        "A fault of the exporter: see whether it has newer firmware.",
    ),
    LossReason.BAD_TEMPLATE: (
        "template that makes no sense",
        "A fault of the exporter: see whether it has newer firmware.",
    ),
    LossReason.TEMPLATE_MISSING: (
        "data whose template never came",
        "The exporter sends its templates too seldom: set its template refresh to 60 s.",
    ),
    LossReason.TOO_LARGE: (
        "too large to be kept",
        "A record or template above our bounds: a fault of the exporter, or no exporter at all.",
    ),
    LossReason.BAD_FIELD: (
        "field that makes no sense",
        "A fault of the exporter: see whether it has newer firmware.",
    ),
    LossReason.LOG_GAP: (
        "missing in Kafka",
        "Kafka deleted it before this central read it: keep topic flows longer. The other central "
        "may have it.",
    ),
    LossReason.REFUSED_LATE: (
        "came after its hour was closed",
        "A collector published very old records: check its clock and its spool.",
    ),
    LossReason.QUARANTINED: (
        "message no store could keep",
        "See the central's log: what it names is kept aside.",
    ),
}


def explain(label: str) -> tuple[str, str]:
    """Return what happened and what to do, for a reason as reports name it (`kernel_drop`)."""
    try:
        reason = LossReason[label.upper()]
    except KeyError:
        return label.replace("_", " "), "A newer release may know this reason."
    return EXPLAINED[reason]
