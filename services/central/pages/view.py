"""What a page shows, as its URL says it; pure. Junk in a URL is left out and named, never fatal."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final
from urllib.parse import parse_qsl, quote, urlencode

from services.central.filters import FILTERS, ReportError, condition
from services.central.pages.time_range import DEFAULT, TimeRange, read_range, write_range

FILTERS_MAX: Final = 20
"""Values of all filters together; more fit no screen."""
QUERY_MAX: Final = 8_000
"""Characters of a query string; a browser's own limits are higher."""

SPLITS: Final = ("way", "application", "exporter", "protocol", "dscp")
METRICS: Final = ("bytes", "packets", "flows")
REFRESHES_S: Final = (0, 5, 10, 30, 60, 300)
THEMES: Final = ("auto", "light", "dark")
ZONES: Final = ("local", "UTC")


@dataclass(frozen=True, slots=True)
class View:
    """A page without its path.

    filters: (name, value) as typed, in the order they were added. split: what the chart is
    divided by; `way` is in and out. zone: `local` is the browser's own. refresh_s: 0 never.
    """

    range: TimeRange = DEFAULT
    filters: tuple[tuple[str, str], ...] = ()
    split: str = "way"
    metric: str = "bytes"
    zone: str = "local"
    refresh_s: int = 10
    theme: str = "auto"

    def filtered(self, *added: tuple[str, str]) -> "View":
        """Return the view with filters added; a name that is there takes the new value."""
        names = {name for name, _ in added}
        kept = tuple(each for each in self.filters if each[0] not in names)
        return replace(self, filters=kept + added)

    def without(self, *removed: tuple[str, str]) -> "View":
        """Return the view without these filters."""
        return replace(self, filters=tuple(each for each in self.filters if each not in removed))

    @property
    def by_name(self) -> dict[str, list[str]]:
        """The filters as a report takes them."""
        return by_name(self.filters)


@dataclass(frozen=True, slots=True)
class Read:
    """A view, and what of the URL could not be understood: `name=value`."""

    view: View
    ignored: tuple[str, ...] = ()


def read_view(query: str) -> Read:
    """Read a query string, with or without its question mark."""
    if len(query) > QUERY_MAX:
        return Read(View(), ("the address is too long",))
    # A field too many is no reason to fail: what is read is bounded by the length.
    pairs = parse_qsl(query.removeprefix("?"), keep_blank_values=True, errors="replace")
    ignored: list[str] = []
    view = View()
    ends: dict[str, str] = {}
    for name, value in pairs:
        if name in ("from", "to"):
            ends[name] = value
        elif name in FILTERS:
            if (name, value) in view.filters:
                continue
            if len(view.filters) < FILTERS_MAX and _is_filter(name, value):
                view = replace(view, filters=(*view.filters, (name, value)))
            else:
                ignored.append(_shown(name, value))
        elif (chosen := _choice(view, name, value)) is not None:
            view = chosen
        else:
            ignored.append(_shown(name, value))
    if ends:
        try:
            chosen_range = read_range(ends.get("from", "now-1h"), ends.get("to", "now"))
            view = replace(view, range=chosen_range)
        except (ValueError, OverflowError):
            ignored += [_shown(name, value) for name, value in ends.items()]
    return Read(view, tuple(ignored[:FILTERS_MAX]))


def write_view(view: View) -> str:
    """Return the query string of `view`, defaults left out; `?` alone when nothing is left."""
    pairs: list[tuple[str, str]] = []
    if view.range != DEFAULT:
        pairs += zip(("from", "to"), write_range(view.range), strict=True)
        if pairs[-1] == ("to", "now"):
            pairs.pop()
    pairs += view.filters
    plain = View()
    for name in ("split", "metric", "zone", "theme"):
        if getattr(view, name) != getattr(plain, name):
            pairs.append((name, getattr(view, name)))
    if view.refresh_s != plain.refresh_s:
        pairs.append(("refresh", str(view.refresh_s)))
    return "?" + urlencode(pairs, quote_via=quote, safe=":/")


def by_name(filters: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Return filters as a report takes them: any value of a name, all names."""
    found: dict[str, list[str]] = {}
    for name, value in filters:
        found.setdefault(name, []).append(value)
    return found


def narrowed(
    filters: Sequence[tuple[str, str]], fixed: Sequence[tuple[str, str]]
) -> dict[str, list[str]]:
    """Return the filters with those that the page itself stands for, which win."""
    names = {name for name, _ in fixed}
    return by_name([*fixed, *(each for each in filters if each[0] not in names)])


def _is_filter(name: str, value: str) -> bool:
    try:
        condition(name, [value])
    except ReportError:
        return False
    # The flow record knows no text with control characters, and a chip could not show them.
    return len(value) <= 100 and value.isprintable() and bool(value)


def _choice(view: View, name: str, value: str) -> View | None:
    match name:
        case "split" if value in SPLITS:
            return replace(view, split=value)
        case "metric" if value in METRICS:
            return replace(view, metric=value)
        case "zone" if value in ZONES:
            return replace(view, zone=value)
        case "theme" if value in THEMES:
            return replace(view, theme=value)
        case "refresh" if value in map(str, REFRESHES_S):
            return replace(view, refresh_s=int(value))
        case _:
            return None


def _shown(name: str, value: str) -> str:
    text = f"{name}={value}"
    return "".join(each if each.isprintable() else "?" for each in text[:60])
