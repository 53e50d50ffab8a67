"""What a range saw of one exporter, for metrics and summaries."""

from dataclasses import dataclass, field

from shared.losses import LossReason


@dataclass(slots=True)
class Seen:
    """Counts of one exporter in one range.

    templates: definitions that came, repeated ones too; waiting_sets: data sets that now wait for
    their template; undecoded_sets: sets given up, of reserved ids, or without anything of a flow;
    options_records: walked, not yet used; malformed: datagrams lost in whole or in part by reason;
    ignored: records that carried an (enterprise, element) which fills no column.
    """

    exporter: bytes
    datagrams: int = 0
    flows: int = 0
    templates: int = 0
    options_records: int = 0
    waiting_sets: int = 0
    undecoded_sets: int = 0
    malformed: dict[LossReason, int] = field(default_factory=dict)
    ignored: dict[tuple[int, int], int] = field(default_factory=dict)
