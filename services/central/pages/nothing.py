"""What a page says when there are no flows to show, and what to do next; pure."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from services.central.pages import typed_filter
from services.central.pages.export_target import UNKNOWN_HOST, ExportTarget
from services.central.pages.loss_reasons import explain
from services.central.pages.snippets import snippets
from services.central.pages.status import HEARD_S, Collector
from services.central.pages.tables import Row
from services.central.pages.time_range import PRESETS, Absolute, Relative, TimeRange
from services.central.pages.units import age, count
from services.central.pages.view import View, write_view

Model = dict[str, Any]  # Any: nested JSON as `static/sf_nothing.js` reads it.

NOTHING_MISSING: Final[Model] = {"kind": "none"}
"""Of a page that has flows to show."""

_AROUND_MS: Final = 30 * 60_000
_LOSSES: Final = 8


def first_flows(
    target: ExportTarget,
    collectors: Sequence[Collector],
    losses: Sequence[Row],
    *,
    exporter: str | None = None,
) -> Model:
    """Return what to do before the first flow; of one exporter where given.

    losses: rows of the report of losses, which are all that arrived.
    """
    whose = f" from {exporter}" if exporter else ""
    return {
        "kind": "first",
        "title": f"No flows{whose} yet",
        "lead": "Point your router's export at",
        "target": target.text,
        "warning": _warning(target),
        "facts": [*_heard(collectors), *_arrived(losses, exporter)],
        "actions": [],
        "snippets": [
            {"key": each.key, "title": each.title, "text": each.text, "hint": each.hint}
            for each in snippets(target)
        ],
    }


def nothing_here(view: View, *, subject: str, now_ms: int, last_ms: int | None) -> Model:
    """Return what to do when there are flows, but none that filters and range leave.

    subject: what the page is about, as in `of host 10.0.0.1`, or empty. last_ms: when the last
    flow came, of the page's exporter where it has one; None for unknown.
    """
    of = f" {subject}" if subject else ""
    title = f"No flows{of} pass these filters" if view.filters else f"No flows{of} in this range"
    lead = ""
    if last_ms:
        lead = f"The last flow came {_ago(now_ms - last_ms)}."
    return {
        "kind": "range",
        "title": title,
        "lead": lead,
        "target": "",
        "warning": "",
        "facts": [],
        "actions": [*_without_filters(view), *_other_ranges(view, now_ms, last_ms)],
        "snippets": [],
    }


def _warning(target: ExportTarget) -> str:
    if target.host == UNKNOWN_HOST:
        return f"{UNKNOWN_HOST} stands for the collector's address as your routers reach it."
    if target.is_loopback:
        return (
            f"{target.host} is reached from this machine only. For routers, let the collector "
            "listen on the network (steadflow up --udp-host 0.0.0.0) and take this machine's "
            "address there."
        )
    return ""


def _heard(collectors: Sequence[Collector]) -> list[Model]:
    if not collectors:
        text = "No collector was heard yet: start one with steadflow up, or look into its log."
        return [{"level": "warn", "text": text, "detail": ""}]
    found = []
    for each in sorted(collectors, key=lambda each: each.worker):
        is_here = each.heard_s <= HEARD_S
        said = "listens" if is_here else f"was last heard {_ago(int(each.heard_s * 1000))}"
        level = "good" if is_here else "warn"
        found.append({"level": level, "text": f"Collector {each.worker} {said}.", "detail": ""})
    return found


def _arrived(losses: Sequence[Row], exporter: str | None) -> list[Model]:
    if not losses:
        text = "Nothing has arrived that could be counted."
        detail = (
            "Of NetFlow v9 and IPFIX nothing can be read before the template came: after up to a "
            "minute as configured below, after up to half an hour by most defaults."
        )
        return [{"level": "calm", "text": text, "detail": detail}]
    largest = sorted(losses, key=lambda row: -row["datagrams"])
    found = []
    for row in largest[:_LOSSES]:
        happened, advice = explain(row["reason"])
        sender = "" if exporter or row["exporter"] == "::" else f" from {row['exporter']}"
        number = row["datagrams"]
        what = f"{count(number)} datagram{'s' * (number != 1)}{sender}"
        found.append({"level": "warn", "text": f"{what}: {happened}.", "detail": advice})
    if len(largest) > _LOSSES:
        more = f"and {len(largest) - _LOSSES} more: steadflow report losses"
        found.append({"level": "calm", "text": more, "detail": ""})
    return found


def _without_filters(view: View) -> list[Model]:
    if not view.filters:
        return []
    found = []
    if len(view.filters) > 1:
        found = [
            _action(f"Remove {typed_filter.label(name)} {value}", view.without((name, value)))
            for name, value in view.filters
        ]
    every = "Remove all filters" if len(view.filters) > 1 else "Remove the filter"
    return [_action(every, replace(view, filters=()), is_strong=True), *found]


def _other_ranges(view: View, now_ms: int, last_ms: int | None) -> list[Model]:
    from_ms, to_ms = view.range.at(now_ms)
    found = []
    if last_ms and not from_ms <= last_ms < to_ms:
        around: TimeRange = Absolute(last_ms - _AROUND_MS, min(last_ms + _AROUND_MS, now_ms))
        found.append(
            _action("Show the last flows", replace(view, range=around), is_strong=not view.filters)
        )
    span_s = (to_ms - from_ms) // 1000
    wider = [
        (label, preset) for label, preset in PRESETS if preset.since_s >= max(2 * span_s, 3600)
    ]
    if not wider and view.range != Relative(90 * 86_400):
        wider = [PRESETS[-1]]
    for number, (label, preset) in enumerate(_some(wider)):
        is_strong = not view.filters and not found and not number
        found.append(_action(label, replace(view, range=preset), is_strong=is_strong))
    return found


def _some(wider: Sequence[tuple[str, Relative]]) -> list[tuple[str, Relative]]:
    """Return the next and two longer ones: a choice, not a list."""
    wanted = {"Last 24 hours", "Last 7 days"}
    return [each for at, each in enumerate(wider) if not at or each[0] in wanted]


def _action(label: str, view: View, *, is_strong: bool = False) -> Model:
    return {"label": label, "href": write_view(view), "strong": is_strong}


def _ago(milliseconds: int) -> str:
    text = age(max(0, milliseconds) / 1000)
    return "just now" if text == "now" else f"{text} ago"
