"""What a takeover lost, as far as the digests of all centrals prove it; pure."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final, NamedTuple

from services.central.proof.compare import Difference
from services.central.proof.ledger import HORIZON_MS, Ledger
from shared.digest_records import HOUR, MINUTE, PERIOD_MS, Period

MINUTE_MS: Final = PERIOD_MS[MINUTE]
HOUR_MS: Final = PERIOD_MS[HOUR]
NAMED_MAX: Final = 3
DASH: Final = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Compared:
    """What digests say of the centrals that the cluster has.

    until_ms: by every other central, each minute below it was compared with this one's, equal or
    not, UTC; 0 where none was. differences: all there are now.
    """

    until_ms: Mapping[str, int] = field(default_factory=dict)
    differences: Sequence[Difference] = ()

    def among(self, here: str, nodes: Iterable[str]) -> "Compared":
        """Return what is left when the cluster has just `nodes`, compared by `here`.

        One of them that nobody compared yet holds the proof up; what one held that left says
        nothing any more.
        """
        others = {name for name in nodes if name != here}
        return Compared(
            {name: self.until_ms.get(name, 0) for name in sorted(others)},
            [each for each in self.differences if each.central in {here, *others}],
        )


def compared_by(ledger: Ledger) -> Compared:
    """Return what a central knows of all that ever published digests."""
    return Compared(ledger.compared_ms(), ledger.differences())


class Lost(NamedTuple):
    """The text in the table, what it means, and how it is coloured."""

    text: str
    title: str
    level: str = ""


class Span(NamedTuple):
    """Whole minutes, UTC. ends_ms: the first instant after it."""

    starts_ms: int
    ends_ms: int


def span_of(at_ms: int, took_s: float | None) -> Span:
    """Return which minutes judge a takeover: one more than it touched, on both sides.

    at_ms: when the new primary was chosen. Nobody acted for `took_s` around that, so the old one
    acted until so long before it at the earliest, and the new one since so long after it at the
    latest.
    """
    took_ms = round((took_s or 0.0) * 1000)
    return Span(
        (at_ms - took_ms) // MINUTE_MS * MINUTE_MS - MINUTE_MS,
        (at_ms + took_ms) // MINUTE_MS * MINUTE_MS + 2 * MINUTE_MS,
    )


def lost(at_ms: int, took_s: float | None, compared: Compared, now_ms: int) -> Lost:
    """Return what the takeover lost: 0 only where every minute of `span_of` is proven equal."""
    span = span_of(at_ms, took_s)
    if differing := _differing(span, compared.differences):
        return Lost(
            "differs", f"Centrals differ in {_named(differing)}: `steadflow standby repair`", "bad"
        )
    if span.starts_ms < now_ms - HORIZON_MS:
        days = HORIZON_MS // 86_400_000
        return Lost(DASH, f"Not compared any more: digests are compared for {days} days")
    if not compared.until_ms:
        return Lost("not proven yet", "There is no other central to compare with", "quiet")
    slowest, until_ms = min(compared.until_ms.items(), key=lambda each: each[1])
    if not until_ms:
        return Lost("not proven yet", f"Nothing of {slowest} is compared yet", "quiet")
    if until_ms < span.ends_ms:
        return Lost(
            "not proven yet",
            f"{slowest} is compared until {_time(until_ms)}, and this needs {_time(span.ends_ms)}",
            "quiet",
        )
    return Lost("0", "From a minute before it until a minute after, all centrals are proven equal")


def _differing(span: Span, differences: Sequence[Difference]) -> list[Period]:
    """Return what differs within the span, the oldest first.

    An hour says where to look only while none of its minutes differs.
    """
    periods = {each.period for each in differences}
    explained = {
        (each.stream, each.starts_ms // HOUR_MS) for each in periods if each.level == MINUTE
    }
    return sorted(
        (
            each
            for each in periods
            if each.starts_ms < span.ends_ms and each.ends_ms > span.starts_ms
            if each.level == MINUTE or (each.stream, each.starts_ms // HOUR_MS) not in explained
        ),
        key=lambda each: (each.starts_ms, each),
    )


def _named(periods: Sequence[Period]) -> str:
    names = list(
        dict.fromkeys(
            f"the {'minute' if each.level == MINUTE else 'hour'} {_time(each.starts_ms)}"
            for each in periods
        )
    )
    more = len(names) - NAMED_MAX
    return ", ".join(names[:NAMED_MAX]) + (f" and {more} more" if more > 0 else "")


def _time(at_ms: int) -> str:
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
