"""Query parameters of the live rates -> what they ask for, and the answer as JSON; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from services.central.filters import ReportError
from services.central.instants import format_instant, parse_instant
from services.central.live.windows import RATES_MAX, WINDOWS_S, LiveSnapshot
from shared.addresses import pack_address

BACK_MS: Final = 60_000
"""How far back `at` may lie: the longest window must still be kept."""
LIMIT_MAX: Final = 10_000
_ABOUT: Final[Mapping[str, tuple[str, dict[str, Any]]]] = {  # Any: OpenAPI is nested JSON.
    "exporter": ("Only this exporter: its address.", {"type": "string"}),
    "interface": (
        "Only the interfaces of this ifIndex, and no whole exporters.",
        {"type": "integer", "minimum": 0, "maximum": 2**32 - 1},
    ),
    "window": ("Only this window, in seconds.", {"type": "integer", "enum": list(WINDOWS_S)}),
    "limit": (
        "Most rates of exporters, and most of interfaces, in each window: those with most bytes.",
        {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": RATES_MAX},
    ),
    "at": (
        "Where the windows end: RFC 3339 or a time before now as `-10s`, at most a minute back. "
        "Two centrals asked for the same instant answer the same.",
        {"type": "string"},
    ),
}
FOLLOWED: Final = ("exporter", "interface", "window", "limit")
ASKED: Final = (*FOLLOWED, "at")

EXAMPLE: Final[Mapping[str, Any]] = {  # Any: JSON.
    "rows": [
        {
            "exporter": "192.0.2.1",
            "interface": interface,
            "direction": "in",
            "window_s": 10,
            "bytes_per_s": 1_250_000.0,
            "packets_per_s": 1600.0,
            "flows_per_s": 42.5,
            "bytes_scaled_per_s": 125_000_000.0,
            "packets_scaled_per_s": 160_000.0,
        }
        for interface in (None, 3)
    ],
    "as_of": "2026-03-02T14:30:58.000Z",
    "lag_s": 0.8,
    "state": "live",
    "newest_at": "2026-03-02T14:30:59.800Z",
    "left_out": 0,
}


@dataclass(frozen=True, slots=True)
class LiveQuestion:
    """What is asked of the live rates, as `LiveView.snapshot` takes it."""

    exporter: bytes | None = None
    interface: int | None = None
    windows_s: tuple[int, ...] = WINDOWS_S
    limit: int = RATES_MAX
    at_ms: int | None = None


def read_live_question(
    query: Mapping[str, Sequence[str]], *, allowed: Iterable[str], now_ms: int
) -> LiveQuestion:
    """Return the question in `query`. Raises ReportError naming the first wrong parameter."""
    known = tuple(allowed)
    given: dict[str, str] = {}
    for name, values in query.items():
        if name not in known:
            raise ReportError(name, f"is no parameter here; there are {', '.join(known)}")
        if len(values) > 1:
            raise ReportError(name, "is given more than once")
        given[name] = values[0]
    window_s = _number(given, "window", max(WINDOWS_S))
    if window_s is not None and window_s not in WINDOWS_S:
        raise ReportError("window", f"there are {', '.join(map(str, WINDOWS_S))}")
    limit = _number(given, "limit", LIMIT_MAX)
    if limit == 0:
        raise ReportError("limit", f"is no number from 1 to {LIMIT_MAX}")
    return LiveQuestion(
        exporter=_address(given.get("exporter")),
        interface=_number(given, "interface", 2**32 - 1),
        windows_s=WINDOWS_S if window_s is None else (window_s,),
        limit=RATES_MAX if limit is None else limit,
        at_ms=_instant(given.get("at"), now_ms),
    )


def live_openapi(
    *names: str, media_type: str = "application/json", example: object = EXAMPLE
) -> dict[str, Any]:  # Any: OpenAPI is nested JSON.
    """Return the OpenAPI description of parameters and an example answer."""
    parameters = [
        {"name": name, "in": "query", "required": False, "description": about, "schema": schema}
        for name, (about, schema) in _ABOUT.items()
        if name in names
    ]
    content = {media_type: {"example": example}}
    return {
        "parameters": parameters,
        "responses": {"200": {"description": "The answer", "content": content}},
    }


def live_answer(snapshot: LiveSnapshot) -> dict[str, Any]:  # Any: JSON.
    """Return a snapshot as JSON."""
    newest_ms, lag_s = snapshot.newest_ms, snapshot.lag_s
    return {
        "rows": [asdict(rate) for rate in snapshot.rates],
        "as_of": format_instant(snapshot.as_of_ms),
        "lag_s": None if lag_s is None else round(lag_s, 1),
        "state": snapshot.state,
        "newest_at": None if newest_ms is None else format_instant(newest_ms),
        "left_out": snapshot.left_out,
    }


def _number(given: Mapping[str, str], name: str, largest: int) -> int | None:
    text = given.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < 12 and int(text) <= largest):
        raise ReportError(name, f"{text[:40]!r} is no number from 0 to {largest}")
    return int(text)


def _address(text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return pack_address(text)
    except ValueError:
        raise ReportError("exporter", f"{text[:60]!r} is no address") from None


def _instant(text: str | None, now_ms: int) -> int | None:
    if text is None:
        return None
    try:
        at_ms = parse_instant(text, now_ms)
    except (ValueError, OverflowError):
        problem = f"{text[:40]!r} is neither RFC 3339 with its zone nor a time before now as -10s"
        raise ReportError("at", problem) from None
    if not now_ms - BACK_MS <= at_ms <= now_ms:
        raise ReportError("at", "is not within the last minute")
    return at_ms
