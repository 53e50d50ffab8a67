"""What a decoder counts, kept in a small file for its holder to show.

Not in files mapped into memory: on a full disk a write to those kills the process.
"""

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

from services.ingest.publish.encode import Message, message_bytes
from shared.addresses import format_address
from shared.kafka import Sent

TALLY = "decoder.tally"

COUNTERS: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "decoded_flows": ("Flow records published.", ("exporter",)),
    "decoded_datagrams": ("Datagrams in published ranges.", ("exporter",)),
    "lost_datagrams": ("Datagrams lost whole or in part.", ("exporter", "reason")),
    "lost_flows": ("Flow records lost, where their number is known.", ("exporter", "reason")),
    "templates": ("Template definitions that came, repeated ones too.", ("exporter",)),
    "waiting_sets": ("Data sets that had to wait for their template.", ("exporter",)),
    "undecoded_sets": (
        "Data sets without rows: given up, of reserved ids, or without anything of a flow.",
        ("exporter",),
    ),
    "ignored_elements": (
        "Flow records with an information element that has no column.",
        ("exporter", "enterprise", "element"),
    ),
    "published_messages": ("Messages acknowledged on topic flows.", ()),
    "published_bytes": ("Bytes of these messages, headers included.", ()),
    "lost_rates": ("Ranges whose sums did not reach topic rates.", ()),
    "kafka_away": ("Times that publishing stopped because Kafka was away.", ()),
    "log_rewinds": ("Times that the log had lost its tail and was filled again.", ()),
    "discarded_segments": ("Segments given up because the spool was full.", ()),
    "corrupt_bytes": ("Bytes of the spool in which no good record was found.", ()),
}
"""Name, help text and labels of each counter; all have the label `worker` too."""

GAUGES: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "lag_records": ("Records of the spool that Kafka has not acknowledged, about.", ()),
    "lag_bytes": ("Bytes of the spool that Kafka has not acknowledged.", ()),
    "lag_seconds": ("Seconds since the newest acknowledged record, 0 when all are.", ()),
    "exporter_newest_timestamp_seconds": (
        "When the newest published datagram of an exporter was received, Unix time.",
        ("exporter",),
    ),
    "acknowledged_offset": ("Offset of the last acknowledged message.", ("partition",)),
}


EXPORTERS_MAX = 4_096
ELEMENTS_MAX = 4_096
"""Source addresses and templates can be forged: what comes beyond is counted as OTHER."""
OTHER = "other"


class Tally:
    """Counters and gauges of one decoder's life; a restarted one counts from 0 again."""

    def __init__(self, *, exporters_max: int = EXPORTERS_MAX) -> None:
        """Start with nothing counted. exporters_max: addresses that get counters of their own."""
        self.values: defaultdict[tuple[str, ...], float] = defaultdict(float)
        self._exporters_max = exporters_max
        self._exporters: dict[bytes, str] = {}
        self._elements = 0

    def add(self, name: str, *labels: str, by: float = 1) -> None:
        """Count `by` under one of COUNTERS, with the labels it lists."""
        if by:
            self.values[(name, *labels)] += by

    def _exporter(self, exporter: bytes) -> str:
        known = self._exporters.get(exporter)
        if known is not None:
            return known
        if len(self._exporters) >= self._exporters_max:
            return OTHER
        self._exporters[exporter] = text = format_address(exporter)
        return text

    def _add_ignored(self, exporter: str, enterprise: int, element: int, records: int) -> None:
        key = ("ignored_elements", exporter, str(enterprise), str(element))
        if key not in self.values:
            if self._elements >= ELEMENTS_MAX:
                key = ("ignored_elements", OTHER, OTHER, OTHER)
            else:
                self._elements += 1
        self.values[key] += records

    def show(self, name: str, *labels: str, value: float) -> None:
        """Set one of GAUGES or a counter that somebody else keeps."""
        self.values[(name, *labels)] = value

    def count(self, message: Message, sent: Sent) -> None:
        """Count an acknowledged message."""
        flow_range = message.flow_range
        self.add("published_messages")
        self.add(
            "published_bytes",
            by=message_bytes(flow_range.worker.encode(), message.value, message.headers),
        )
        self.show("acknowledged_offset", str(sent.partition), value=sent.offset)
        for loss in flow_range.losses:
            exporter = self._exporter(loss.exporter)
            self.add("lost_datagrams", exporter, loss.reason.label, by=loss.datagrams)
            self.add("lost_flows", exporter, loss.reason.label, by=loss.flows)
        if message.decoded is None:
            return
        for seen in message.decoded.seen:
            exporter = self._exporter(seen.exporter)
            self.add("decoded_datagrams", exporter, by=seen.datagrams)
            self.add("decoded_flows", exporter, by=seen.flows)
            self.add("templates", exporter, by=seen.templates)
            self.add("waiting_sets", exporter, by=seen.waiting_sets)
            self.add("undecoded_sets", exporter, by=seen.undecoded_sets)
            if seen.datagrams:
                newest_s = flow_range.latest_ms / 1000
                self.show("exporter_newest_timestamp_seconds", exporter, value=newest_s)
            for (enterprise, element), records in seen.ignored.items():
                self._add_ignored(exporter, enterprise, element, records)

    def write(self, directory: Path) -> None:
        """Replace the file in the worker's folder. Raises OSError."""
        path = directory / TALLY
        new = directory / f"{TALLY}.part"
        new.write_text(json.dumps([[*key, value] for key, value in self.values.items()]))
        os.replace(new, path)


def read_tally(directory: Path) -> dict[tuple[str, ...], float]:
    """Return what a worker's decoder counted last, by name and labels; empty without a file."""
    try:
        content = json.loads((directory / TALLY).read_text())
        return {tuple(key): float(value) for *key, value in content}
    except (OSError, ValueError, TypeError):
        return {}
