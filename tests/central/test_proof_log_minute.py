"""One minute as the log holds it: just the rows that a central that applied the log has."""

import random
from collections import Counter
from collections.abc import Sequence

import pyarrow as pa

from services.central.arrow_pieces import join
from services.central.messages import MINUTE_MS, Message
from services.central.proof.log_minute import LogMinute
from shared.digest_records import MINUTE, Period
from tests.central.stream_messages import HOUR, Sent, Stream, a_stream, cut, log_of, send

AT_MS = range(0, 4 * MINUTE_MS, 9_000)
SECOND = Period(1, MINUTE, HOUR + MINUTE_MS)


def read(messages: Sequence[Message], minute: Period = SECOND) -> LogMinute:
    found = LogMinute(minute)
    for message in messages:
        found.take(message)
    return found


def rows_of(found: LogMinute) -> Counter[tuple[int, int]]:
    """Return how often each row (number, index) is there."""
    rows: Counter[tuple[int, int]] = Counter()
    for piece in found.pieces:
        value, _, _ = join([piece])
        table = pa.ipc.open_stream(value).read_all()
        pairs = zip(table["datagram"].to_pylist(), table["bytes"].to_pylist(), strict=True)
        rows.update((int(number), int(index)) for number, index in pairs)
    return rows


def rows_in(stream: Stream, minute: Period) -> Counter[tuple[int, int]]:
    return Counter(
        (datagram.number, index)
        for datagram in stream.datagrams
        if minute.starts_ms <= datagram.at_ms < minute.ends_ms
        for index in range(datagram.rows)
    )


def test_the_rows_of_the_minute_are_found_whatever_the_cuts_and_repeats() -> None:
    stream = a_stream(at_ms=AT_MS)
    other = a_stream(2, at_ms=AT_MS)
    for seed in range(30):
        rng = random.Random(seed)
        cuts = frozenset(rng.sample(range(1, len(stream.datagrams)), 8))
        sent: list[Sent] = cut(stream, cuts)
        # The decoder begins again somewhere, in the same cuts, or in others after a lost log.
        again = cut(stream, rng.choice([cuts, frozenset()]), first=1)
        at = rng.randrange(len(sent))
        log = log_of([*sent[:at], *cut(other), *again])
        found = read(log)
        assert (found.is_whole, found.is_done, found.refusal) == (True, True, ""), seed
        assert rows_of(found) == rows_in(stream, SECOND), seed


def test_begun_in_an_earlier_minute_it_is_whole_and_in_its_own_it_is_not() -> None:
    stream = a_stream(at_ms=AT_MS)
    sent = cut(stream, frozenset(range(1, 40)))
    first = next(n for n, each in enumerate(sent) if each.range.latest_ms >= SECOND.starts_ms)
    assert read(log_of(sent[first - 1 :])).is_whole
    assert not read(log_of(sent[first:])).is_whole
    assert not read(log_of(sent[first + 2 :])).is_whole
    assert not read([]).is_whole


def test_the_first_minute_of_a_stream_is_whole_from_number_one() -> None:
    stream = a_stream(at_ms=AT_MS)
    found = read(log_of(cut(stream)), Period(1, MINUTE, HOUR))
    assert found.is_whole
    assert rows_of(found) == rows_in(stream, Period(1, MINUTE, HOUR))


def test_without_a_later_message_more_rows_may_come() -> None:
    stream = a_stream(at_ms=AT_MS[:12])
    assert not read(log_of(cut(stream))).is_done
    ended = a_stream(at_ms=AT_MS[:12], ends=True)
    assert read(log_of(cut(ended))).is_done


def test_a_minute_of_a_stream_without_rows_is_empty() -> None:
    stream = a_stream(at_ms=[0, 3 * MINUTE_MS])
    found = read(log_of(cut(stream)))
    assert (found.is_whole, found.is_done, found.pieces) == (True, True, [])


def test_rows_that_came_for_a_closed_minute_stay_refused() -> None:
    stream = a_stream(at_ms=[0, MINUTE_MS, 2 * MINUTE_MS, MINUTE_MS + 5, 3 * MINUTE_MS])
    log = log_of([send(stream, number, number) for number in range(1, 6)])
    assert {number for number, _ in rows_of(read(log))} == {2}
