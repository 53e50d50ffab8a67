"""The model of the bar on top; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.central.filters import FILTERS, PROTOCOLS
from services.central.pages import links, time_range, typed_filter
from services.central.pages.applications import application_name
from services.central.pages.status import Status
from services.central.pages.time_range import PRESETS, Absolute, write_range
from services.central.pages.view import REFRESHES_S, Read, View, write_view

Model = dict[str, Any]  # Any: nested JSON as `static/sf_header.js` reads it.

THEME_NEXT = {
    "auto": ("dark", "◐", "Theme as the system's; switch to dark"),
    "dark": ("light", "●", "Dark theme; switch to light"),
    "light": ("auto", "○", "Light theme; switch to the system's"),
}


@dataclass(frozen=True, slots=True)
class Crumb:
    """A step of the path to this page; without href: this page."""

    label: str
    href: str | None = None


def header(
    read: Read,
    *,
    central: str,
    crumbs: Sequence[Crumb],
    status: Status,
    now_ms: int,
    account: str = "",
    is_timeless: bool = False,
) -> Model:
    """Return the model of the bar over the view that was read from the address.

    account: who is logged in; empty: nobody. is_timeless: the page shows no range and no flows, so
    nothing of that can be chosen.
    """
    view = read.view
    from_ms, to_ms = view.range.at(now_ms)
    from_text, to_text = write_range(view.range)
    theme, sign, title = THEME_NEXT[view.theme]
    return {
        "home": links.overview(view),
        "failover": links.failover(view),
        "administration": links.administration(view),
        "account": account,
        "timeless": is_timeless,
        "central": central,
        "crumbs": [{"label": each.label, "href": each.href} for each in crumbs],
        "status": status_model(status),
        "range": {
            "label": time_range.label(view.range),
            # A relative range has a label: its ends would change the model each time.
            **({"from_ms": from_ms, "to_ms": to_ms} if isinstance(view.range, Absolute) else {}),
            "from": from_text,
            "to": to_text,
        },
        "presets": [
            {
                "label": label,
                "href": write_view(replace(view, range=preset)),
                "chosen": preset == view.range,
            }
            for label, preset in PRESETS
        ],
        "zones": [
            {
                "label": "UTC" if zone == "UTC" else "",
                "href": write_view(replace(view, zone=zone)),
                "chosen": zone == view.zone,
            }
            for zone in ("local", "UTC")
        ],
        **_moves(view, now_ms // 60_000 * 60_000),
        "refresh": {
            "label": _refresh_label(view.refresh_s),
            "items": [
                {
                    "label": _refresh_label(each),
                    "href": write_view(replace(view, refresh_s=each)),
                    "chosen": each == view.refresh_s,
                }
                for each in REFRESHES_S
            ],
        },
        "theme": {"href": write_view(replace(view, theme=theme)), "sign": sign, "title": title},
        "filter_names": list(FILTERS),
        "chips": [chip(view, name, value) for name, value in view.filters],
        "clear": write_view(replace(view, filters=())),
        "ignored": _ignored(read.ignored),
    }


def status_model(status: Status) -> Model:
    """Return the part of the model that changes by itself."""
    return {
        "level": status.level.value,
        "word": status.word,
        "sentence": status.sentence,
        "lag": "" if status.lag_s is None else f"{status.lag_s:.1f} s",
    }


def chip(view: View, name: str, value: str) -> Model:
    """Return a filter as a chip that removes it."""
    shown = value
    if name == "application":
        protocol, _, port = value.partition("/")
        number = PROTOCOLS.get(protocol.lower(), protocol)
        if str(number).isdigit() and (port or "0").isdigit():
            shown = f"{application_name(int(number), int(port or 0))} ({value})"
    return {
        "label": typed_filter.label(name),
        "value": shown,
        "href": links.without(view, [(name, value)]),
    }


def _moves(view: View, now_ms: int) -> Model:
    ranges = {
        name: move(view.range, now_ms)
        for name, move in (
            ("earlier", time_range.earlier),
            ("later", time_range.later),
            ("wider", time_range.wider),
        )
    }
    return {name: write_view(replace(view, range=chosen)) for name, chosen in ranges.items()}


def _refresh_label(refresh_s: int) -> str:
    if not refresh_s:
        return "Off"
    return f"{refresh_s} s" if refresh_s < 60 else f"{refresh_s // 60} min"


def _ignored(what: Sequence[str]) -> str:
    if not what:
        return ""
    return f"Not understood in the address, left out: {', '.join(what)}"
