"""What a capture held, per exporter: a fold over what its ranges saw."""

from collections.abc import Iterable
from typing import Any

from services.ingest.decode.seen import Seen
from shared.addresses import format_address

_COUNTS = ("datagrams", "flows", "templates", "options_records", "waiting_sets", "undecoded_sets")


class Summary:
    """Counts of a whole capture."""

    def __init__(self) -> None:
        """Start without exporters."""
        self._exporters: dict[bytes, Seen] = {}

    def add(self, seen: Iterable[Seen]) -> None:
        """Add what a range saw."""
        for one in seen:
            total = self._exporters.setdefault(one.exporter, Seen(one.exporter))
            for name in _COUNTS:
                setattr(total, name, getattr(total, name) + getattr(one, name))
            for reason, datagrams in one.malformed.items():
                total.malformed[reason] = total.malformed.get(reason, 0) + datagrams
            for element, records in one.ignored.items():
                total.ignored[element] = total.ignored.get(element, 0) + records

    def as_json(self, *, frames: int, skipped: dict[str, int]) -> dict[str, Any]:
        """Return the counts; frames and skipped are the capture's own."""
        exporters = [_exporter(seen) for seen in self._exporters.values()]
        return {
            "frames": frames,
            "skipped_frames": dict(sorted(skipped.items())),
            "datagrams": sum(one["datagrams"] for one in exporters),
            "flows": sum(one["flows"] for one in exporters),
            "exporters": exporters,
        }


def as_text(summary: dict[str, Any]) -> str:
    """Return the counts as people read them."""
    heads = ["exporter", *(name.replace("_", " ") for name in _COUNTS), "malformed"]
    rows = [
        [one["exporter"], *(str(one[name]) for name in _COUNTS), _by_reason(one["malformed"])]
        for one in summary["exporters"]
    ]
    widths = [max(len(row[place]) for row in [heads, *rows]) for place in range(len(heads))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
             for row in [heads, *rows]]  # fmt: skip
    for one in summary["exporters"]:
        if one["ignored"]:
            listed = ", ".join(
                f"{e['enterprise']}/{e['element']} ({e['records']})" for e in one["ignored"]
            )
            lines.append(f"{one['exporter']} elements without a column (records): {listed}")
    lines.append(
        f"{summary['frames']} frames, {summary['datagrams']} datagrams, {summary['flows']} flows"
    )
    if summary["skipped_frames"]:
        lines.append(f"frames without a datagram: {_by_reason(summary['skipped_frames'])}")
    return "\n".join(lines) + "\n"


def _exporter(seen: Seen) -> dict[str, Any]:
    return {
        "exporter": format_address(seen.exporter),
        **{name: getattr(seen, name) for name in _COUNTS},
        "malformed": {reason.label: n for reason, n in sorted(seen.malformed.items())},
        "ignored": [
            {"enterprise": enterprise, "element": number, "records": records}
            for (enterprise, number), records in sorted(seen.ignored.items())
        ],
    }


def _by_reason(counts: dict[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in counts.items()) or "-"
