"""Query parameters of the API -> checked questions. Pure: the clock comes in."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from services.central.filters import BY, FILTERS, ReportError
from services.central.instants import parse_instant
from services.central.reports import LATEST_MS, LIMIT_MAX, METRICS, PAGE_MAX, ReportRequest

Query = Mapping[str, Sequence[str]]

HOUR_MS: Final = 3_600_000

DESCRIPTIONS: Final[Mapping[str, tuple[str, object]]] = {
    "from": ("First instant: RFC 3339, or a time before now as `-6h`.", "-1h"),
    "to": ("First instant no more: RFC 3339, a time before now, or `now`.", "now"),
    "by": (f"What to group by: {', '.join(BY)}.", "src_addr"),
    "metric": (f"What to order by: {', '.join(METRICS)}.", "bytes"),
    "scaled": ("Order by sums times the sampling rate: `true` or `false`.", "false"),
    "limit": ("Rows, or groups of a time series.", "10"),
    "step": ("Seconds of one point, a multiple of 60.", "60"),
    "cursor": ("`next` of the page before.", None),
}
RANGE: Final = ("from", "to")


def read_question(
    query: Query,
    *,
    allowed: Iterable[str],
    now_ms: int,
    from_everything: bool = False,
    by: str | None = None,
    limit: int = 10,
    limit_max: int = LIMIT_MAX,
) -> ReportRequest:
    """Return the question in `query`. Raises ReportError naming the first wrong parameter.

    allowed: parameters beside the filters. from_everything: without `from` and `to` the question
    is about all there is, not the last hour. by, limit: their defaults.
    """
    known = {*allowed, *FILTERS}
    for name in query:
        if name not in known:
            raise ReportError(name, f"is no parameter here; there are {', '.join(sorted(known))}")
    to_ms = _instant(query, "to", now_ms)
    if to_ms is None:
        # The minute at hand is part of what was counted until now.
        to_ms = LATEST_MS if from_everything else now_ms
    from_ms = _instant(query, "from", now_ms)
    if from_ms is None:
        from_ms = 0 if from_everything else max(0, to_ms - HOUR_MS)
    step = _one(query, "step")
    scaled = _one(query, "scaled") or "false"
    if scaled not in ("true", "false"):
        raise ReportError("scaled", "is neither true nor false")
    return ReportRequest(
        from_ms=from_ms,
        to_ms=to_ms,
        by=_one(query, "by") or by,
        metric=_one(query, "metric") or "bytes",
        scaled=scaled == "true",
        limit=limit if "limit" not in query else _number(query, "limit", limit_max),
        step_s=None if step is None else _number(query, "step", 366 * 86_400),
        filters={name: list(values) for name, values in query.items() if name in FILTERS},
        of_all=from_everything and not any(name in query for name in RANGE),
    )


def cursor_text(query: Query) -> str | None:
    """Return the `cursor` parameter."""
    return _one(query, "cursor")


def openapi(
    *names: str, filters: bool = True, example: Mapping[str, Any] | None = None
) -> dict[str, Any]:  # Any: OpenAPI is nested JSON.
    """Return the OpenAPI description of an operation's parameters and an example answer."""
    parameters = [_parameter(name, *DESCRIPTIONS[name]) for name in names]
    if filters:
        for name, chosen in FILTERS.items():
            about = f"Filter ({chosen.kind}); again for more values."
            parameters.append({**_parameter(name, about, None), "explode": True})
    described: dict[str, Any] = {"parameters": parameters}
    if example is not None:
        content = {"application/json": {"example": example}}
        described["responses"] = {"200": {"description": "The answer", "content": content}}
    return described


def _parameter(name: str, about: str, example: object) -> dict[str, Any]:  # Any: as above.
    described: dict[str, Any] = {
        "name": name,
        "in": "query",
        "required": False,
        "description": about,
        "schema": {"type": "string"},
    }
    if example is not None:
        described["example"] = example
    return described


def _one(query: Query, name: str) -> str | None:
    values = query.get(name, ())
    if len(values) > 1:
        raise ReportError(name, "is given more than once")
    return values[0] if values else None


def _number(query: Query, name: str, largest: int) -> int:
    text = _one(query, name) or ""
    if not (text.isascii() and text.isdigit() and len(text) < 12 and 1 <= int(text) <= largest):
        raise ReportError(name, f"{text[:40]!r} is no number from 1 to {largest}")
    return int(text)


def _instant(query: Query, name: str, now_ms: int) -> int | None:
    text = _one(query, name)
    if text is None:
        return None
    try:
        return parse_instant(text, now_ms)
    except (ValueError, OverflowError) as error:
        problem = f"{text[:40]!r} is neither RFC 3339 with its zone nor a time before now as -6h"
        raise ReportError(name, problem) from error


__all__ = ["LIMIT_MAX", "PAGE_MAX", "cursor_text", "openapi", "read_question"]
