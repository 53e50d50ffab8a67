"""What is remembered of `ha.log` goes into `ha.history`, whatever its configurations say."""

from services.central.roles.log_notes import LogNotes
from shared.roles.fold import START, Folded, evolve
from shared.roles.history import Tail
from shared.roles.records import Config, DeathNotice, Record

# Of two registries that begin at once the later one may know of a log before this one.
LOG: tuple[Record, ...] = (
    Config(generation=1, by="r1"),
    Config(generation=2, by="r2"),
    DeathNotice("a/1", seen_by="launcher"),
)


def test_a_second_config_of_a_higher_generation_holds_no_later_decision_up() -> None:
    notes, state = LogNotes(), START
    for offset, record in enumerate(LOG):
        before, state = state, evolve(state, record, offset=offset, append_ms=1_000 + offset)
        notes.take(Folded(record, before, state, offset, 1_000 + offset), now_s=float(offset))
    assert [(each["generation"], each["offset"]) for each in notes.decisions] == [
        (1, 0), (1, 1), (1, 2)
    ]  # fmt: skip

    notes.forget_copied(Tail(generation=1, offset=1))
    assert [each["is"] for each in notes.decisions] == ["death"]
    # Negative control: behind an entry of the generation that was refused it would be lost.
    notes.forget_copied(Tail(generation=2, offset=1))
    assert not notes.decisions
