"""What every central says it holds, as a fold over topic `digests`; pure.

Only what differs or is not known of both sides is looked at again; what is equal costs a record.
"""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from services.central.proof.compare import Difference, changed, compare, missing
from shared.digest_records import DigestRecord, Gone, Left, Passed, Period, PeriodDigest

HORIZON_MS = 7 * 86_400_000
"""Older periods are forgotten; the topic keeps a day more."""
SILENT_MS = 600_000
"""A stream this far behind the others on both sides says nothing about how far all is proven."""
LISTS_MAX = 2_000
"""Periods whose exporters are remembered: the newest, until both sides are known to be equal."""


@dataclass(frozen=True, slots=True)
class Proven:
    """How far a central is proven equal to this one.

    until_ms: every minute below it is, of every stream, UTC; 0 for none.
    """

    central: str
    until_ms: int
    differences: int


@dataclass(frozen=True, slots=True)
class Copy:
    """How far all that a central holds is what the primary holds.

    until_ms: every minute below it is, or is known to be wrong there, UTC; 0 for none.
    differences: those that hold it up.
    """

    until_ms: int
    differences: int


@dataclass(slots=True)
class _Central:
    records: dict[Period, PeriodDigest] = field(default_factory=dict)
    passed: dict[int, Passed] = field(default_factory=dict)
    lonely: set[Period] = field(default_factory=set)
    """Periods that only this central or only `own` has."""
    unequal: dict[Period, Difference] = field(default_factory=dict)


class Ledger:
    """The newest record of each period and stream by central, and what differs from `central`."""

    def __init__(self, central: str, *, lists_max: int = LISTS_MAX) -> None:
        """central: whose ledger it is. lists_max: as LISTS_MAX."""
        self.central = central
        self._lists_max = lists_max
        self._forgotten_ms = 0
        self._own = _Central()
        self._others: dict[str, _Central] = {}
        self._found: set[tuple[str, Period]] = set()
        self._listed: deque[tuple[str, Period]] = deque()

    @property
    def own(self) -> Mapping[Period, PeriodDigest]:
        """What this central said of its own periods."""
        return self._own.records

    @property
    def own_passed(self) -> Mapping[int, Passed]:
        """How far this central said it has closed each stream."""
        return self._own.passed

    @property
    def others(self) -> list[str]:
        """Every other central with a record, by name."""
        return sorted(self._others)

    def record_of(self, central: str, period: Period) -> PeriodDigest | None:
        """Return what `central` said last of `period`."""
        each = self._own if central == self.central else self._others.get(central)
        return None if each is None else each.records.get(period)

    def take(self, record: DigestRecord) -> None:
        """Fold one record in."""
        if isinstance(record, Left):
            self._drop(record.central)
            return
        if not isinstance(record, Passed) and record.period.starts_ms < self._forgotten_ms:
            return
        each = self._known(record.central)
        match record:
            case Passed():
                each.passed[record.stream] = record
            case Gone():
                each.records.pop(record.period, None)
                self._found.discard((record.central, record.period))
                self._match(record.central, record.period)
            case PeriodDigest():
                each.records[record.period] = record
                place = (record.central, record.period)
                (self._found.discard if record.found is None else self._found.add)(place)
                self._match(record.central, record.period)
                self._remember(place)

    def forget(self, before_ms: int) -> None:
        """Leave out periods that begin before `before_ms`, a whole minute, UTC.

        Streams with nothing left go too. What was left out before stays out.
        """
        if before_ms <= self._forgotten_ms:
            return
        self._forgotten_ms = before_ms
        for name, each in [(self.central, self._own), *self._others.items()]:
            for period in [one for one in each.records if one.starts_ms < before_ms]:
                del each.records[period]
                self._found.discard((name, period))
            each.lonely = {one for one in each.lonely if one.starts_ms >= before_ms}
            each.unequal = {p: d for p, d in each.unequal.items() if p.starts_ms >= before_ms}
            alive = {period.stream for period in each.records}
            each.passed = {
                stream: passed
                for stream, passed in each.passed.items()
                if stream in alive or passed.minutes_until_ms >= before_ms
            }
        for name in [name for name, each in self._others.items() if not each.passed]:
            if not self._others[name].records:
                del self._others[name]

    def differences(self) -> list[Difference]:
        """Return all there are, oldest first."""
        found = {place: self._changed(*place) for place in self._found}
        for name, each in self._others.items():
            for difference in self._between(name, each):
                # One entry a period and other central: it says whose scrub found something too.
                found.pop((name, difference.period), None)
                found.pop((self.central, difference.period), None)
                found[(f"{name}/", difference.period)] = difference
        return sorted(
            found.values(), key=lambda each: (each.period.starts_ms, each.period, each.central)
        )

    def proven(self) -> list[Proven]:
        """Return how far each other central is proven, by name."""
        differences = self.differences()
        answers = []
        for name in self.others:
            against = [d.period.starts_ms for d in differences if d.central in (name, self.central)]
            until_ms = min([self._both_until(self._others[name]), *against])
            answers.append(Proven(name, until_ms, len(against)))
        return answers

    def compared_ms(self) -> dict[str, int]:
        """Return until when each minute is compared with every other central, equal or not; UTC."""
        return {name: self._both_until(each) for name, each in self._others.items()}

    def copy_of(self, primary: str) -> Copy:
        """Return how far this central is a copy of `primary`, a central's name.

        Where that is not another one, it is compared with all: so it is before there is one.
        A difference to a third central counts where it is known to be wrong here; which of both
        is wrong else, the comparison with the primary has said.
        """
        asked = [primary] if primary not in ("", self.central) else self.others
        holding = [
            each
            for each in self.differences()
            if self.central in each.wrong or (each.central in asked and not each.wrong)
        ]
        until = [self._both_until(self._others[name]) for name in asked if name in self._others]
        starts = [each.period.starts_ms for each in holding]
        return Copy(min([max(until, default=0), *starts]), len(holding))

    def may_be_wrong_here(self, difference: Difference) -> bool:
        """Whether it is not known to be wrong elsewhere only."""
        return not difference.wrong or self.central in difference.wrong

    def newest_ms(self) -> int:
        """Return the end of the newest minute that this central has closed; 0 for none."""
        return max((passed.minutes_until_ms for passed in self._own.passed.values()), default=0)

    def _drop(self, central: str) -> None:
        self._found = {place for place in self._found if place[0] != central}
        if central != self.central:
            self._others.pop(central, None)
            return
        self._own = _Central()
        for each in self._others.values():
            each.unequal, each.lonely = {}, set(each.records)

    def _known(self, central: str) -> _Central:
        if central == self.central:
            return self._own
        if central not in self._others:
            self._others[central] = _Central(lonely=set(self._own.records))
        return self._others[central]

    def _match(self, central: str, period: Period) -> None:
        mine = self._own.records.get(period)
        names = self._others if central == self.central else (central,)
        is_equal = bool(self._others)
        for name in names:
            other = self._others[name]
            theirs = other.records.get(period)
            other.unequal.pop(period, None)
            other.lonely.discard(period)
            if mine is None or theirs is None:
                is_equal = False
                if mine is not None or theirs is not None:
                    other.lonely.add(period)
            elif (difference := compare(mine, theirs)) is not None:
                is_equal = False
                other.unequal[period] = difference
        if is_equal and mine is not None and len(self._others) == 1:
            self._strip(self.central, period)
            self._strip(self.others[0], period)

    def _remember(self, place: tuple[str, Period]) -> None:
        """Keep the exporters of the newest periods only."""
        if (record := self.record_of(*place)) is None or not record.exporters:
            return
        self._listed.append(place)
        while len(self._listed) > self._lists_max:
            self._strip(*self._listed.popleft())

    def _strip(self, central: str, period: Period) -> None:
        if (record := self.record_of(central, period)) is not None and record.exporters:
            each = self._known(central)
            more = record.exporters_more + len(record.exporters)
            each.records[period] = replace(record, exporters=(), exporters_more=more)

    def _changed(self, central: str, period: Period) -> Difference:
        record = self.record_of(central, period)
        assert record is not None
        return changed(record)

    def _between(self, name: str, other: _Central) -> Iterator[Difference]:
        for period, difference in other.unequal.items():
            yield self._with_found(difference, period, name)
        for period in other.lonely:
            mine, theirs = self._own.records.get(period), other.records.get(period)
            lacking = other.passed if theirs is None else self._own.passed
            passed = lacking.get(period.stream)
            present = mine or theirs
            if passed is not None and passed.covers(period) and present is not None:
                lacks = name if theirs is None else self.central
                yield missing(present, central=name, lacks=lacks)

    def _with_found(self, difference: Difference, period: Period, name: str) -> Difference:
        """Name the exporters that a scrub named, where it is what shows who is wrong."""
        for central in (self.central, name):
            record = self.record_of(central, period)
            if record is not None and record.found is not None and record.found.exporters:
                return replace(
                    difference,
                    exporters=record.found.exporters,
                    exporters_more=record.found.exporters_more,
                )
        return difference

    def _both_until(self, other: _Central) -> int:
        """Return until when both have closed all streams but those long silent on both sides."""
        bounds: list[int] = []
        ended: list[int] = []
        even: list[int] = []
        for stream in self._own.passed.keys() | other.passed.keys():
            mine, theirs = self._own.passed.get(stream), other.passed.get(stream)
            if mine is None or theirs is None:
                starts = [p.starts_ms for p in other.lonely if p.stream == stream]
                bounds += [min(starts)] if starts else []
            elif mine.ended and theirs.ended:
                ended.append(max(mine.minutes_until_ms, theirs.minutes_until_ms))
            else:
                until = [each.minutes_until_ms for each in (mine, theirs) if not each.ended]
                is_even = len(until) == 2 and until[0] == until[1]
                (even if is_even else bounds).append(min(until))
        newest = max([*bounds, *even, *ended], default=0)
        bounds += [each for each in even if each >= newest - SILENT_MS]
        return min([newest, *bounds])
