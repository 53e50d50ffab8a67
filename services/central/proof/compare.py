"""Two centrals' digests of one period, compared; pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from shared.digest_records import ExporterDigest, Period, PeriodDigest

NAMED_MAX = 8
"""Exporters that one difference names; the others are counted."""


class Part(StrEnum):
    """Where a difference lies."""

    RAW = "raw"
    ROLLUPS = "rollups"
    MISSING = "missing"
    """Only one side has the period, though both are past it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One period that is not the same.

    central: the other central, or the one whose scrub found its own rows changed. parts: where.
    wrong: the centrals known to be wrong; empty where only the log can tell. exporters: whose rows
    differ, as far as the digests tell; exporters_more: how many beside them may.
    """

    period: Period
    central: str
    parts: tuple[Part, ...]
    wrong: tuple[str, ...] = ()
    exporters: tuple[str, ...] = ()
    exporters_more: int = 0


def compare(mine: PeriodDigest, theirs: PeriodDigest) -> Difference | None:
    """Return how what was closed differs, by `theirs`; None where it does not.

    Digests over other column lists cannot be compared: counts and sums then are.
    """
    parts: list[Part] = []
    same_columns = mine.digest_version == theirs.digest_version
    if mine.raw[:3] != theirs.raw[:3] or (same_columns and mine.raw != theirs.raw):
        parts.append(Part.RAW)
    # The roll-up rows carry the digests of the raw rows: those of other columns differ.
    same_rollups = same_columns and mine.rollup_version == theirs.rollup_version
    if mine.rollups.rows != theirs.rollups.rows or (
        same_rollups and mine.rollups != theirs.rollups
    ):
        parts.append(Part.ROLLUPS)
    if not parts:
        return None
    exporters, more = _unequal(mine, theirs)
    return Difference(
        period=mine.period,
        central=theirs.central,
        parts=tuple(parts),
        wrong=wrong(mine, theirs),
        exporters=exporters[:NAMED_MAX],
        exporters_more=more + len(exporters[NAMED_MAX:]),
    )


def missing(present: PeriodDigest, *, central: str, lacks: str) -> Difference:
    """Return the difference of a period that `lacks` has not. central: as of Difference."""
    known: tuple[str, ...] = (lacks,) if present.checked else ()
    if present.found is not None:
        known = (present.central,)
    exporters = tuple(each.exporter for each in present.exporters)
    return Difference(
        period=present.period,
        central=central,
        parts=(Part.MISSING,),
        wrong=known,
        exporters=exporters[:NAMED_MAX],
        exporters_more=present.exporters_more + len(exporters[NAMED_MAX:]),
    )


def changed(record: PeriodDigest) -> Difference:
    """Return the difference between what a central closed and what its scrub `found`."""
    found = record.found
    assert found is not None
    parts = [(found.raw, Part.RAW), (found.rollups, Part.ROLLUPS)]
    return Difference(
        period=record.period,
        central=record.central,
        parts=tuple(part for sums, part in parts if sums is not None),
        wrong=(record.central,),
        exporters=found.exporters[:NAMED_MAX],
        exporters_more=found.exporters_more + len(found.exporters[NAMED_MAX:]),
    )


def wrong(mine: PeriodDigest, theirs: PeriodDigest) -> tuple[str, ...]:
    """Return who is wrong: whose rows changed since it closed them, else whom the log refutes."""
    changed_since = tuple(each.central for each in (mine, theirs) if each.found is not None)
    if changed_since:
        return changed_since
    if mine.checked != theirs.checked:
        return (theirs.central if mine.checked else mine.central,)
    return ()


def _unequal(mine: PeriodDigest, theirs: PeriodDigest) -> tuple[tuple[str, ...], int]:
    """Return the exporters whose digests differ, and how many not listed ones may."""
    here, there = _by_exporter(mine), _by_exporter(theirs)
    differing = [
        name for name in sorted(here.keys() | there.keys()) if here.get(name) != there.get(name)
    ]
    if not mine.exporters_more and not theirs.exporters_more:
        return tuple(differing), 0
    # The lists end at different exporters where one has one more: what is beyond is not known.
    last = min(max(here, default=""), max(there, default=""))
    known = tuple(name for name in differing if name <= last)
    return known, 0 if known else max(mine.exporters_more, theirs.exporters_more)


def _by_exporter(record: PeriodDigest) -> Mapping[str, ExporterDigest]:
    return {each.exporter: each for each in record.exporters}
