"""Every check before a join, green, amber and red, and what it says to do."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from services.standby.measuring import kept_days
from services.standby.preflight import (
    Light,
    Line,
    Measured,
    Primary,
    certificate_line,
    name_line,
    preflight,
    stops,
)
from shared.machine import Machine
from shared.this_machine import this_machine
from shared.tls.renewal import RENEWED_BEFORE

HERE = Machine(
    release="1.0",
    os_family="Linux",
    architecture="x86_64",
    cores=4,
    memory_bytes=16 * 10**9,
    disk_free_bytes=100 * 10**9,
    utc_offset_s=3600,
    now_ms=0,
)
DAYS = (7, 30, 730)
PRIMARY = Primary(machine=HERE, store_bytes=20 * 10**9, flows_per_s=1_000, kept_days=DAYS)
MEASURED = Measured(
    clock_offset_ms=-20,
    kafka_offset_ms=400,
    round_trip_ms=3,
    inserts_per_s=200_000,
    kept_days=DAYS,
)


def test_two_machines_alike_are_green_in_every_line() -> None:
    lines = preflight(HERE, PRIMARY, MEASURED)

    assert {line.light for line in lines} == {Light.GREEN}
    assert len({line.check for line in lines}) == len(lines) == 13
    assert not any(line.remedy for line in lines)
    assert stops(lines) == []


MACHINES: list[tuple[str, dict[str, Any], Light]] = [
    ("release", {"release": "1.1"}, Light.RED),
    ("system", {"os_family": "FreeBSD"}, Light.RED),
    ("system", {"architecture": "aarch64"}, Light.AMBER),
    ("cores", {"cores": 2}, Light.AMBER),
    ("memory", {"memory_bytes": 10 * 10**9}, Light.AMBER),
    ("memory", {"memory_bytes": 7 * 10**9}, Light.RED),
    ("disk", {"disk_free_bytes": 39 * 10**9}, Light.AMBER),
    ("disk", {"disk_free_bytes": 23 * 10**9}, Light.RED),
    ("time zone", {"utc_offset_s": -12_600}, Light.AMBER),
]
MEASUREMENTS: list[tuple[str, dict[str, Any], Light]] = [
    ("clock", {"clock_offset_ms": 1_001.0}, Light.AMBER),
    ("clock", {"clock_offset_ms": -300_000.0}, Light.RED),
    ("clock", {"clock_offset_ms": None}, Light.RED),
    ("Kafka's clock", {"kafka_offset_ms": 6_000.0}, Light.RED),
    ("reach from here", {"unreachable": ["kafka.example:9093 is refused"]}, Light.RED),
    ("reach from the primary", {"unreachable_back": ["10.0.0.9:8443 timed out"]}, Light.RED),
    ("reach from the primary", {"untried_back": ["b could not be tried"]}, Light.AMBER),
    (
        "reach from the primary",
        {"unreachable_back": ["10.0.0.9:8443 timed out"], "untried_back": ["b"]},
        Light.RED,
    ),
    ("Kafka's round trip", {"round_trip_ms": 200.0}, Light.AMBER),
    ("Kafka's round trip", {"round_trip_ms": 2_000.0}, Light.RED),
    ("Kafka's round trip", {"round_trip_ms": None}, Light.RED),
    ("Kafka's round trip", {"round_trip_ms": 200.0, "is_kafka_asked": False}, Light.AMBER),
    ("insert speed", {"inserts_per_s": 2_000.0}, Light.AMBER),
    ("insert speed", {"inserts_per_s": 900.0}, Light.RED),
    ("insert speed", {"inserts_per_s": None}, Light.RED),
    ("configuration", {"kept_days": (30, 30, 730)}, Light.RED),
    ("configuration", {"kept_days": None}, Light.AMBER),
]


@pytest.mark.parametrize(("check", "change", "light"), MACHINES)
def test_another_machine_is_named_in_its_line(
    check: str, change: dict[str, Any], light: Light
) -> None:
    only_line_is(check, light, preflight(replace(HERE, **change), PRIMARY, MEASURED))


@pytest.mark.parametrize(("check", "change", "light"), MEASUREMENTS)
def test_what_was_measured_is_judged_in_its_line(
    check: str, change: dict[str, Any], light: Light
) -> None:
    only_line_is(check, light, preflight(HERE, PRIMARY, replace(MEASURED, **change)))


def test_a_connection_is_not_taken_for_an_answer_of_kafka() -> None:
    found = {
        is_asked: line.found
        for is_asked in (True, False)
        for line in preflight(HERE, PRIMARY, replace(MEASURED, is_kafka_asked=is_asked))
        if line.check == "Kafka's round trip"
    }
    assert found == {
        True: "3 ms",
        False: "3 ms to connect; Kafka itself is asked once this machine has a certificate",
    }


def test_what_the_setting_says_holds_whatever_is_configured_here() -> None:
    by_setting = replace(PRIMARY, kept_days=(30, 30, 730), is_kept_by_setting=True)
    assert stops(preflight(HERE, by_setting, MEASURED)) == []
    by_configuration = replace(by_setting, is_kept_by_setting=False)
    assert [line.check for line in stops(preflight(HERE, by_configuration, MEASURED))] == [
        "configuration"
    ]


def test_a_primary_of_an_earlier_release_does_not_say_what_it_keeps() -> None:
    answer = {"machine": HERE.to_json(), "store_bytes": 5, "flows_per_s": 1.5}
    earlier = Primary.from_json(answer)
    only_line_is("configuration", Light.AMBER, preflight(HERE, earlier, MEASURED))
    now = Primary.from_json({**answer, "kept_days": [7, 30, 730], "is_kept_by_setting": True})
    assert (now.kept_days, now.is_kept_by_setting) == (DAYS, True)


async def test_what_a_central_here_would_keep_is_what_its_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("STEADFLOW_CENTRAL_RAW_DAYS", "12")
    assert await kept_days() == (12, 30, 730)
    monkeypatch.setenv("STEADFLOW_CENTRAL_RAW_DAYS", "never")
    assert await kept_days() is None


@pytest.mark.parametrize(
    ("days", "light", "found"),
    [
        (100, Light.GREEN, "until 2028-04-05"),
        (770, Light.AMBER, "it ends in 55 days, 2028-04-05"),
        (830, Light.RED, "it ended on 2028-04-05, and nobody lets it in"),
    ],
)
def test_a_certificate_that_ends_is_said_in_time(days: int, light: Light, found: str) -> None:
    signed = datetime(2026, 1, 1, tzinfo=UTC)
    ends_at, now = signed + timedelta(days=825), signed + timedelta(days=days)
    line = certificate_line(ends_at, now, is_due=ends_at - now < RENEWED_BEFORE)
    assert (line.check, line.light, line.found) == ("certificate", light, found)
    assert bool(line.remedy) is (light is not Light.GREEN)


def only_line_is(check: str, light: Light, lines: list[Any]) -> None:
    wrong = [line for line in lines if line.light is not Light.GREEN]
    assert [(line.check, line.light) for line in wrong] == [(check, light)]
    assert wrong[0].remedy
    assert stops(lines) == (wrong if light is Light.RED else [])


def test_facts_of_a_machine_are_read_back(tmp_path: Any) -> None:
    machine = this_machine(tmp_path / "not" / "there", now_ms=1_700_000_000_000)

    assert Machine.from_json(machine.to_json()) == machine
    assert machine.disk_free_bytes > 0
    for wrong in (
        None,
        {},
        machine.to_json() | {"cores": "4"},
        machine.to_json() | {"cores": True},
    ):
        with pytest.raises(ValueError, match="machine"):
            Machine.from_json(wrong)


def test_a_name_that_is_anothers_is_red_with_what_to_do() -> None:
    said = "a central named central-b runs already: choose another by --name"

    assert name_line("central-b", said) == Line(
        "name",
        Light.RED,
        "a central named central-b runs already",
        "choose another by --name",
    )
    assert name_line("central-c", "").light is Light.GREEN
