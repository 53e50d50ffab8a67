"""What is known of an exporter, an interface or a host beside its flows; pure."""

from collections.abc import Mapping, Sequence
from typing import Any

from services.central.metadata.seen import SeenRow
from services.central.pages import units
from services.central.pages.tables import Row
from services.central.pages.units import age

Model = dict[str, Any]  # Any: nested JSON as `static/sf_facts.js` reads it.

VERSIONS = {5: "NetFlow v5", 7: "NetFlow v7", 9: "NetFlow v9", 10: "IPFIX", 105: "sFlow"}
DASH = "\u2013"


def exporter_facts(address: str, name: str | None, seen: Sequence[SeenRow], now_ms: int) -> Model:
    """Return the name of an exporter, its versions, and when it was seen first and last."""
    facts = [_fact("Address", address)] if name else []
    facts += [_fact("Exports", _versions(seen)), *_seen(seen, now_ms)]
    return {"title": name or address, "kind": "exporter", "facts": facts}


def interface_facts(
    title: str, index: int, speed_bps: int, exporter: str, exporter_href: str
) -> Model:
    """Return the name of an interface, its exporter and its speed."""
    speed = units.with_unit(speed_bps, "bit/s") if speed_bps else "not set"
    return {
        "title": title,
        "kind": "interface",
        "facts": [
            {**_fact("Exporter", exporter), "href": exporter_href},
            _fact("ifIndex", str(index)),
            _fact("Speed", speed, "As set by users; load is said against it"),
        ],
    }


def sampling_text(rows: Sequence[Row]) -> str:
    """Return at what rates an exporter samples: rows of the report by sampling_rate."""
    rates = sorted({row["sampling_rate"] or 0 for row in rows})
    if not rates:
        return DASH
    return ", ".join(_rate(rate) for rate in rates)


def load_text(by_way: Mapping[str, Row], seconds: float, speed_bps: int) -> str:
    """Return the load of an interface, In and Out; a dash where no speed is set."""
    if not speed_bps or not by_way:
        return DASH
    parts = [
        units.share(units.rate("bytes", row["bytes_scaled"], seconds), speed_bps)
        for row in by_way.values()
    ]
    return " / ".join(parts)


def _versions(seen: Sequence[SeenRow]) -> str:
    names = [VERSIONS.get(each.number, f"version {each.number}") for each in seen]
    return ", ".join(names) or DASH


def _seen(seen: Sequence[SeenRow], now_ms: int) -> list[Model]:
    if not seen:
        return [_fact("Last flow", "never")]
    last_s = max(0, now_ms - max(each.last_seen_ms for each in seen)) / 1000
    first_s = max(0, now_ms - min(each.first_seen_ms for each in seen)) / 1000
    return [_fact("Last flow", _ago(last_s)), _fact("First flow", _ago(first_s))]


def _ago(seconds: float) -> str:
    # Every number on the way here is some seconds old: finer would only flicker.
    return "now" if seconds < 10 else f"{age(seconds)} ago"


def _rate(rate: int) -> str:
    match rate:
        case 0:
            return "unknown"
        case 1:
            return "none, all packets"
        case _:
            return f"1 in {units.count(rate)}"


def _fact(label: str, value: str, title: str = "") -> Model:
    return {"label": label, "value": value, "title": title}
