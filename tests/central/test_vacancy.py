"""For how long nobody acted, from what the log says."""

from services.central.roles.vacancy import Vacancy, evolve, seconds
from shared.roles.fold import START, Folded
from shared.roles.fold import evolve as fold
from shared.roles.records import (
    Claim,
    Config,
    DeathNotice,
    Handover,
    Heartbeat,
    Record,
    Tick,
)


def beat(node: str, ticks: int) -> Heartbeat:
    return Heartbeat(node=node, incarnation=f"{node}/1", epoch=-1, acknowledged_ticks=ticks)


def claim(node: str, epoch: int) -> Claim:
    return Claim(incarnation=f"{node}/1", expected_epoch=epoch, reason="test", by="r")


BEGIN: list[tuple[int, Record]] = [
    (0, Config(hold_down_s=0)),
    (100, Tick("r")),
    (500, Tick("r")),
    (510, beat("a", 2)),
    (520, beat("b", 2)),
    (600, claim("a", -1)),
    (900, Tick("r")),
    (1_000, beat("a", 3)),
    (1_010, beat("b", 3)),
]


def after(*more: tuple[int, Record]) -> float | None:
    state, vacancy = START, Vacancy()
    for offset, (at_ms, record) in enumerate([*BEGIN, *more]):
        new = fold(state, record, offset=offset, append_ms=at_ms)
        vacancy = evolve(vacancy, Folded(record, state, new, offset, at_ms))
        state = new
    return seconds(vacancy, 0.5)


def test_at_the_first_start_nobody_was_missed() -> None:
    assert after() is None


def test_after_a_death_notice_it_began_with_the_notice() -> None:
    assert after((1_200, DeathNotice("a/1", "up")), (1_300, claim("b", 5))) == 0.6


def test_after_silence_it_began_with_the_last_heartbeat() -> None:
    silence: list[tuple[int, Record]] = []
    for number in range(1, 8):
        at_ms = 1_000 + 400 * number
        silence += [(at_ms, Tick("r")), (at_ms + 10, beat("b", 3 + number))]
    assert after(*silence, (4_000, claim("b", 5))) == 3.5


def test_after_a_handover_it_began_with_the_handover() -> None:
    moved: list[tuple[int, Record]] = [
        (1_100, Handover("a/1", "b/1")),
        (1_150, beat("a", 3)),
        (1_200, claim("b", 5)),
    ]
    assert after(*moved) == 0.6
