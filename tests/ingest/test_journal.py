"""The journal: its fold, its file, and what a kill leaves of it."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.ingest.publish.journal import (
    JOURNAL,
    Acknowledged,
    Discarded,
    Entry,
    Journal,
    JournalState,
    Noted,
    Refused,
    Rewound,
    SpoolRenewed,
    decode_entry,
    encode_entry,
    evolve,
    last_acknowledged,
)
from services.ingest.spool.reader import SpoolPosition
from shared.addresses import pack_address
from shared.flow_message import FlowRange
from shared.losses import Loss, LossReason

LOSS = Loss(pack_address("10.0.0.1"), LossReason.SPOOL_OVERFLOW, 3, 90)


def noted(first: int, last: int, *, stream: int = 7, segment: int = 1) -> Noted:
    return Noted(stream=stream, first=first, last=last, after=SpoolPosition(segment, 100 * last))


def acknowledged(
    first: int,
    last: int,
    *,
    stream: int = 7,
    segment: int = 1,
    offset: int = 0,
    changes: tuple[tuple[str, str | None], ...] = (),
) -> Acknowledged:
    return Acknowledged(
        stream=stream, first=first, last=last, after=SpoolPosition(segment, 100 * last),
        latest_ms=1_000 + last, ended=False, topic_id="topic-1", partition=2, offset=offset,
        changes=changes,
    )  # fmt: skip


def discarded(segment: int, first: int, last: int) -> Discarded:
    flow_range = FlowRange(
        stream=7, worker="c/0", first=first, last=last, rows=0, earliest_ms=5, latest_ms=9,
        started_at_ms=1, partitions=4, losses=(LOSS,),
    )  # fmt: skip
    return Discarded(
        segment=segment, ranges=(flow_range,), changes=(("t", "1"), ("u", None)), stream=7,
        next_number=last + 1, latest_ms=9, ended=False,
    )  # fmt: skip


EXAMPLES: list[Entry] = [
    noted(1, 4),
    acknowledged(1, 4, changes=(("template", '{"fields":[]}'), ("old", None))),
    noted(5, 9),
    Refused(stream=7, first=5, last=9),
    noted(5, 6),
    discarded(2, 7, 30),
    acknowledged(5, 6, offset=1),
    Rewound(
        position=SpoolPosition(1, 512), stream=None, next_number=0, latest_ms=0, ended=True,
        decoder=(("template", "x"),), topic_id="topic-2",
    ),
    noted(1, 3),
    SpoolRenewed(),
]  # fmt: skip


def fold(entries: Sequence[Entry]) -> JournalState:
    state = JournalState()
    for entry in entries:
        state = evolve(state, entry)
    return state


@pytest.mark.parametrize("entry", [*EXAMPLES, fold(EXAMPLES[:7])], ids=lambda e: type(e).__name__)
def test_an_entry_reads_back_as_written(entry: Entry) -> None:
    line = encode_entry(entry)

    assert decode_entry(line.removesuffix(b"\n")) == entry


def test_an_acknowledged_range_moves_position_and_decoder_state() -> None:
    state = fold(EXAMPLES[:2])

    assert state.position == SpoolPosition(1, 400)
    assert (state.stream, state.next_number, state.noted) == (7, 5, ())
    assert state.decoder == {"template": '{"fields":[]}'}
    assert state.offsets == {2: 0}


def test_a_noted_range_stays_until_it_is_acknowledged_or_refused() -> None:
    assert fold(EXAMPLES[:3]).noted == (noted(5, 9),)
    assert fold(EXAMPLES[:4]).noted == ()
    assert fold(EXAMPLES[:5]).noted == (noted(5, 6),)


def test_a_rewind_forgets_offsets_of_the_lost_log_but_not_how_far_it_was_noted() -> None:
    state = fold(EXAMPLES[:8])

    assert state.position == SpoolPosition(1, 512)
    assert (state.topic_id, state.offsets, state.noted) == ("topic-2", {}, ())
    assert state.reached == SpoolPosition(1, 900)
    assert state.numbers == {7: 9}


def test_an_end_mark_with_an_older_number_does_not_call_numbers_back() -> None:
    state = fold([acknowledged(1, 9), acknowledged(4, 4)])

    assert state.next_number == 10


def test_the_receiver_learns_the_highest_number_that_may_be_in_the_log(tmp_path: Path) -> None:
    assert last_acknowledged(tmp_path) is None
    journal = Journal(tmp_path)
    for entry in (acknowledged(1, 9), noted(10, 12), noted(1, 2, stream=8)):
        journal.append(entry)
    assert last_acknowledged(tmp_path) == (8, 2)
    # An older stream, published again, does not hide the newest one.
    journal.append(noted(1, 5, stream=7))
    journal.close()

    assert last_acknowledged(tmp_path) == (8, 2)


@given(cut=st.integers(0, 3_000), compact_at=st.integers(0, len(EXAMPLES)))
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_journal_cut_anywhere_is_the_fold_of_its_whole_entries(
    tmp_path: Path, cut: int, compact_at: int
) -> None:
    (tmp_path / JOURNAL).unlink(missing_ok=True)
    journal = Journal(tmp_path)
    ends = [0]
    states = [JournalState()]
    for number, entry in enumerate(EXAMPLES):
        journal.append(entry)
        if number + 1 == compact_at:
            journal.compact()
            ends, states = [0], [JournalState()]
        ends.append((tmp_path / JOURNAL).stat().st_size)
        states.append(journal.state)
    journal.close()
    data = (tmp_path / JOURNAL).read_bytes()[:cut]
    (tmp_path / JOURNAL).write_bytes(data)

    again = Journal(tmp_path)

    whole = max(number for number, end in enumerate(ends) if end <= len(data))
    assert again.state == states[whole]
    again.append(noted(1, 1))
    again.close()
    assert Journal(tmp_path).state == evolve(states[whole], noted(1, 1))


def test_a_flipped_bit_ends_the_journal_there(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    for entry in EXAMPLES[:3]:
        journal.append(entry)
    journal.close()
    data = bytearray((tmp_path / JOURNAL).read_bytes())
    data[-5] ^= 1
    (tmp_path / JOURNAL).write_bytes(data)

    again = Journal(tmp_path)

    assert again.state == fold(EXAMPLES[:2])
    assert again.cut_bytes > 0
    again.close()


def test_a_large_journal_is_replaced_by_its_state(tmp_path: Path) -> None:
    journal = Journal(tmp_path, compact_bytes=2_000)
    for number in range(200):
        journal.append(noted(number + 1, number + 1))
        journal.append(acknowledged(number + 1, number + 1, offset=number))

    assert (tmp_path / JOURNAL).stat().st_size < 5_000
    state = journal.state
    journal.close()
    assert Journal(tmp_path).state == state


def test_a_deleted_journal_is_noticed(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    assert not journal.is_gone

    (tmp_path / JOURNAL).unlink()

    assert journal.is_gone
    journal.close()
