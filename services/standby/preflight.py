"""The checks before a machine becomes a standby: each line green, amber or red; pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from shared.machine import Machine

DISK_RED_SHARE, DISK_AMBER_SHARE = 1.2, 2.0
"""Free disk against what the primary holds: the copy, and room to grow."""
MEMORY_RED_SHARE = 0.5
CLOCK_AMBER_MS, CLOCK_RED_MS = 1_000, 5_000
"""A receiver ends its stream when its clock steps by more than 5 s."""
ROUND_TRIP_AMBER_MS, ROUND_TRIP_RED_MS = 150, 1_000
"""A heartbeat is due every 400 ms; the lease lasts 1.6 s."""
INSERT_RED_SHARE, INSERT_AMBER_SHARE = 1.0, 3.0


class Light(StrEnum):
    """How a check went. Red stops a join."""

    GREEN = "green"
    AMBER = "amber"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Line:
    """One check: what it is about, how it went, what was found, and what to do (green: nothing)."""

    check: str
    light: Light
    found: str
    remedy: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Primary:
    """What the primary says of itself.

    flows_per_s: the most of a minute, lately. kept_days: of raw rows, minutes and hours; None from
    a release that did not say. is_kept_by_setting: they hold for every central.
    """

    machine: Machine
    store_bytes: int
    flows_per_s: float
    kept_days: tuple[int, ...] | None = None
    is_kept_by_setting: bool = False

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:  # Any: JSON.
        """Return it from an answer. Raises KeyError, TypeError or ValueError."""
        days = content.get("kept_days")
        return cls(
            machine=Machine.from_json(content["machine"]),
            store_bytes=int(content["store_bytes"]),
            flows_per_s=float(content["flows_per_s"]),
            kept_days=None if days is None else tuple(map(int, days)),
            is_kept_by_setting=bool(content.get("is_kept_by_setting")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """What was measured between the two.

    clock_offset_ms: this clock against the primary's, kafka_offset_ms: against Kafka's append
    time; None where it could not be asked. round_trip_ms: of one request to Kafka, or, while it
    cannot be asked (not is_kafka_asked), of a connection. inserts_per_s: flow records into a store
    here. unreachable: sentences on what cannot be reached from here, unreachable_back: from the
    primary, untried_back: what it could not try. kept_days: as `Primary` has them, if a central
    here were asked; None where that is not known.
    """

    clock_offset_ms: float | None
    kafka_offset_ms: float | None
    round_trip_ms: float | None
    inserts_per_s: float | None
    unreachable: Sequence[str] = ()
    unreachable_back: Sequence[str] = ()
    untried_back: Sequence[str] = ()
    is_kafka_asked: bool = True
    kept_days: tuple[int, ...] | None = None


def preflight(here: Machine, primary: Primary, measured: Measured) -> list[Line]:
    """Return all lines, in the order in which people read them."""
    return [
        _release(here, primary.machine),
        _system(here, primary.machine),
        _cores(here, primary.machine),
        _memory(here, primary.machine),
        _disk(here, primary),
        _clock("clock", "the primary's clock", measured.clock_offset_ms),
        _clock("Kafka's clock", "Kafka's append time", measured.kafka_offset_ms),
        _time_zone(here, primary.machine),
        _reach("reach from here", measured.unreachable),
        _reach("reach from the primary", measured.unreachable_back, measured.untried_back),
        _round_trip(measured.round_trip_ms, is_kafka_asked=measured.is_kafka_asked),
        _inserts(measured.inserts_per_s, primary.flows_per_s),
        _configuration(measured.kept_days, primary),
    ]


def name_line(name: str, taken: str) -> Line:
    """Return the line of a name before a join. taken: why it is another's, as the primary says."""
    if not taken:
        return Line("name", Light.GREEN, name)
    found, _, remedy = taken.partition(": ")
    return Line("name", Light.RED, found, remedy or "choose another by --name")


def certificate_line(ends_at: datetime, now: datetime, *, is_due: bool) -> Line:
    """Return the line of this machine's certificate. is_due: its launcher would renew it."""
    check, remedy = "certificate", "start `steadflow standby join` here again, which renews it"
    until = f"{ends_at:%Y-%m-%d}"
    if ends_at <= now:
        return Line(check, Light.RED, f"it ended on {until}, and nobody lets it in", remedy)
    if is_due:
        return Line(check, Light.AMBER, f"it ends in {(ends_at - now).days} days, {until}", remedy)
    return Line(check, Light.GREEN, f"until {until}")


def stops(lines: Sequence[Line]) -> list[Line]:
    """Return the lines that stop a join."""
    return [line for line in lines if line.light is Light.RED]


def _release(here: Machine, there: Machine) -> Line:
    if here.release == there.release:
        return Line("release", Light.GREEN, here.release)
    return Line(
        "release",
        Light.RED,
        f"{here.release} here, {there.release} on the primary",
        f"install release {there.release} here",
    )


def _system(here: Machine, there: Machine) -> Line:
    found = f"{here.os_family} on {here.architecture}"
    if here.os_family != there.os_family:
        remedy = f"use a machine with {there.os_family}"
        return Line("system", Light.RED, f"{found}, the primary has {there.os_family}", remedy)
    if here.architecture != there.architecture:
        return Line(
            "system",
            Light.AMBER,
            f"{found}, the primary is {there.architecture}",
            "compare the first proven minutes with care",
        )
    return Line("system", Light.GREEN, found)


def _cores(here: Machine, there: Machine) -> Line:
    if here.cores >= there.cores:
        return Line("cores", Light.GREEN, str(here.cores))
    found = f"{here.cores}, the primary has {there.cores}"
    return Line("cores", Light.AMBER, found, "reports will be slower when this machine acts")


def _memory(here: Machine, there: Machine) -> Line:
    found = f"{_gb(here.memory_bytes)}, the primary has {_gb(there.memory_bytes)}"
    # Two machines of one size differ by what their firmware keeps.
    if here.memory_bytes >= 0.9 * there.memory_bytes:
        return Line("memory", Light.GREEN, found)
    if here.memory_bytes >= MEMORY_RED_SHARE * there.memory_bytes:
        return Line("memory", Light.AMBER, found, "large reports may be refused here")
    return Line("memory", Light.RED, found, "add memory")


def _disk(here: Machine, primary: Primary) -> Line:
    found = f"{_gb(here.disk_free_bytes)} free, the primary's store has {_gb(primary.store_bytes)}"
    if here.disk_free_bytes >= DISK_AMBER_SHARE * primary.store_bytes:
        return Line("disk", Light.GREEN, found)
    wanted = _gb(int(DISK_AMBER_SHARE * primary.store_bytes))
    if here.disk_free_bytes >= DISK_RED_SHARE * primary.store_bytes:
        return Line("disk", Light.AMBER, found, f"have {wanted} free before the store grows")
    return Line(
        "disk", Light.RED, found, f"make room, or keep the data elsewhere: {wanted} at best"
    )


def _clock(check: str, other: str, offset_ms: float | None) -> Line:
    if offset_ms is None:
        return Line(check, Light.RED, f"{other} could not be asked", "see what cannot be reached")
    way = "ahead of" if offset_ms > 0 else "behind"
    found = f"{abs(offset_ms) / 1000:.1f} s {way} {other}"
    if abs(offset_ms) <= CLOCK_AMBER_MS:
        return Line(check, Light.GREEN, found)
    light = Light.AMBER if abs(offset_ms) <= CLOCK_RED_MS else Light.RED
    return Line(check, light, found, "let both follow one time server (chrony, systemd-timesyncd)")


def _time_zone(here: Machine, there: Machine) -> Line:
    found = _zone(here.utc_offset_s)
    if here.utc_offset_s == there.utc_offset_s:
        return Line("time zone", Light.GREEN, found)
    # All that is stored and decided is UTC: this is for those who read both machines' logs.
    remedy = "nothing that is counted depends on it; set the same one if you read both logs"
    return Line(
        "time zone", Light.AMBER, f"{found}, the primary {_zone(there.utc_offset_s)}", remedy
    )


def _reach(check: str, unreachable: Sequence[str], untried: Sequence[str] = ()) -> Line:
    found = "; ".join((*unreachable, *untried))
    if unreachable:
        return Line(check, Light.RED, found, "mend the name, or open the port")
    if untried:
        return Line(check, Light.AMBER, found, "see that the primary's machine connects to it")
    return Line(check, Light.GREEN, "every name and port")


def _round_trip(round_trip_ms: float | None, *, is_kafka_asked: bool) -> Line:
    check = "Kafka's round trip"
    if round_trip_ms is None:
        return Line(check, Light.RED, "Kafka does not answer", "see what cannot be reached")
    found = f"{round_trip_ms:.0f} ms"
    if not is_kafka_asked:
        found += " to connect; Kafka itself is asked once this machine has a certificate"
    if round_trip_ms <= ROUND_TRIP_AMBER_MS:
        return Line(check, Light.GREEN, found)
    if round_trip_ms <= ROUND_TRIP_RED_MS:
        return Line(check, Light.AMBER, found, "a takeover by this machine takes so much longer")
    return Line(check, Light.RED, found, "a primary here would lose its lease: use a faster link")


def _inserts(inserts_per_s: float | None, flows_per_s: float) -> Line:
    check = "insert speed"
    if inserts_per_s is None:
        return Line(check, Light.RED, "nothing could be inserted here", "see the agent's log")
    found = f"{inserts_per_s:,.0f} flows/s here, {flows_per_s:,.0f} arrive"
    if inserts_per_s >= INSERT_AMBER_SHARE * flows_per_s:
        return Line(check, Light.GREEN, found)
    if inserts_per_s >= INSERT_RED_SHARE * flows_per_s:
        remedy = "it would catch up slowly: a faster disk or processor"
        return Line(check, Light.AMBER, found, remedy)
    return Line(check, Light.RED, found, "it would never catch up: a faster disk or processor")


def _configuration(here: tuple[int, ...] | None, primary: Primary) -> Line:
    """Judge what would be kept here: all else that counts is settings, which every central has."""
    check, there = "configuration", primary.kept_days
    if there is not None and primary.is_kept_by_setting:
        return Line(check, Light.GREEN, f"rows are kept for {_days(there)} by the setting")
    if there is None or here is None:
        whose = "there" if there is None else "here"
        found = f"for how long rows are kept {whose} is not known"
        return Line(check, Light.AMBER, found, "set the retention on the Administration page")
    if here == there:
        return Line(check, Light.GREEN, f"rows are kept for {_days(there)}")
    return Line(
        check,
        Light.RED,
        f"rows would be kept for {_days(here)} here, for {_days(there)} on the primary",
        "set the retention on the Administration page, which holds for all, or the same "
        "STEADFLOW_CENTRAL_RAW_DAYS, _MINUTE_DAYS and _HOUR_DAYS here",
    )


def _days(days: tuple[int, ...]) -> str:
    raw, minutes, hours = days
    return f"{raw} (raw), {minutes} (minutes) and {hours} (hours) days"


def _gb(count: int) -> str:
    return f"{count / 1e9:.1f} GB"


def _zone(offset_s: int) -> str:
    sign = "-" if offset_s < 0 else "+"
    return f"UTC{sign}{abs(offset_s) // 3600:02d}:{abs(offset_s) % 3600 // 60:02d}"
