"""Messages no collector sends: each is quarantined, and what comes after it is applied."""

import json

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.central.messages import Message, Place, Verdict, examine
from services.central.progress import Alarm
from shared.flow_message import LOG_HEADER, encode_headers
from tests.central.stream_messages import (
    HOUR,
    TOPIC_ID,
    a_stream,
    arrow,
    cut,
    facts_of,
    log_of,
    send,
)
from tests.central.test_apply import Machine

PLACE = Place(TOPIC_ID, 0, 0, HOUR + 10)
GOOD = send(a_stream(at_ms=[0, 1]), 1, 2)
HUGE = str(10**30).encode()
DIGITS = b"9" * 10_000


def examined(value: bytes = GOOD.value, **headers: bytes | None) -> Message:
    named = {**dict(encode_headers(GOOD.range)), **headers}
    # A header without a value comes as None, whatever the types say.
    return examine(PLACE, list(named.items()), value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "headers",
    [
        {"latest": HUGE, "earliest": HUGE},
        {"latest": b"-60000", "earliest": b"-60000"},
        {"latest": b"4294967296000", "earliest": b"4294967296000"},
        {"last": HUGE},
        {"last": str(2**63).encode()},
        {"first": DIGITS},
        {"v": DIGITS},
        {"v": None},
        {"worker": None},
        {"worker": b"x" * 256},
        {"worker": b"a\0b"},
        {"rows": HUGE},
        {"rows": b"-1"},
        {"started": HUGE},
        {"started": b"-1"},
        {"partitions": HUGE},
        {"losses": b"[" * 100_000},
        {"losses": json.dumps([["::1", 15, 2**64, 0]]).encode()},
        {"losses": json.dumps([["::1", 15, -1, 0]]).encode()},
        {"losses": json.dumps([["::1", 15, 1, 10**30]]).encode()},
    ],
    ids=lambda headers: f"{[*headers]}",
)
@pytest.mark.parametrize("value", [GOOD.value, b""], ids=["rows", "none"])
def test_headers_beyond_all_bounds_cost_only_their_message(
    headers: dict[str, bytes | None], value: bytes
) -> None:
    message = examined(value, **headers)
    assert message.verdict is Verdict.QUARANTINED
    machine = Machine()
    stream = a_stream(at_ms=[0, 1, 60_000], ends=True)
    machine.applier.start(facts_of([message]))
    machine.applier.apply([message])
    machine.applier.apply(log_of(cut(stream), start=1))
    assert machine.store.rows == stream.rows
    assert len(machine.store.quarantine) == 1


@given(
    st.dictionaries(
        st.sampled_from([name for name, _ in encode_headers(GOOD.range)] + ["losses", "ended"]),
        st.one_of(st.none(), st.binary(max_size=20), st.integers().map(lambda n: str(n).encode())),
    )
)
def test_any_headers_get_a_verdict_and_are_applied(headers: dict[str, bytes | None]) -> None:
    message = examined(GOOD.value, **headers)
    if message.verdict is not Verdict.UNKNOWN:
        machine = Machine()
        machine.applier.start(facts_of([message]))
        machine.applier.apply([message])


def test_a_column_that_stands_there_twice_is_quarantined() -> None:
    table = pa.ipc.open_stream(GOOD.value).read_all()
    names = [*table.column_names, "packets"]
    columns = [*table.columns, pa.chunked_array([np.ones(table.num_rows, np.uint64)])]
    (batch,) = pa.table(columns, names=names).to_batches()
    assert examined(arrow(batch)).verdict is Verdict.QUARANTINED


@pytest.mark.parametrize("meant", [b"another-log", TOPIC_ID.encode(), None])
def test_a_range_sent_for_another_log_is_passed_over(meant: bytes | None) -> None:
    """The control is a range that names this log, or none: what comes again is then a repeat."""
    stream = a_stream(at_ms=[0, 1, 2], ends=True)
    late_one = send(stream, 3, 3)
    headers = dict(encode_headers(late_one.range)) | ({LOG_HEADER: meant} if meant else {})
    stray = examine(PLACE, list(headers.items()), late_one.value)
    machine = Machine()
    machine.applier.start(facts_of([stray]))

    machine.applier.apply([stray])
    machine.applier.apply(log_of(cut(stream), start=1))

    assert machine.applier.positions[0] > 1
    if meant == b"another-log":
        assert machine.store.rows == stream.rows
        assert not machine.alarms(Alarm.LOG_GAP)
        assert machine.alarms(Alarm.STRAY) == 1
    else:
        assert machine.store.rows != stream.rows
        assert machine.alarms(Alarm.LOG_GAP)
