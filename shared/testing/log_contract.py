"""What a log does for the roles: the tests that the broker in memory and Kafka both pass.

A subclass has fixtures `log`, an empty topic, and `own_log`, one on a broker that may be frozen.
"""

import asyncio
from typing import NamedTuple, Protocol

from shared.kafka import Fenced

DEADLINE_S = 60.0


class Found(NamedTuple):
    """A record as a reader has it."""

    offset: int
    append_ms: int
    value: bytes


class Transactions(Protocol):
    """The holder of a transactional id."""

    async def send(self, value: bytes) -> int:
        """Append in the open transaction, or in a new one; returns the offset. Raises Fenced."""

    async def commit(self) -> None:
        """End the transaction. Raises Fenced."""


class Log(Protocol):
    """A topic with one partition, on a broker."""

    async def append(self, value: bytes) -> Found:
        """Return where the record stands, once it is acknowledged."""

    async def read(self, offset: int, *, committed: bool) -> list[Found]:
        """Return what a reader that starts at `offset` is given, to the end. Raises IndexError."""

    async def take_id(self) -> Transactions:
        """Take the transactional id from whoever had it (`InitProducerId`)."""

    async def make_again(self) -> None:
        """Delete the topic and create it."""

    async def freeze(self) -> None:
        """Stop the broker's process."""

    async def thaw(self) -> None:
        """Let it go on."""

    async def clock_ms(self) -> int:
        """Return the broker's clock, at least one ms later than anything before."""


async def committed(log: Log, count: int) -> list[bytes]:
    """Return what stays for good once it is `count` records: a commit shows a little later."""
    async with asyncio.timeout(DEADLINE_S):
        while len(found := await log.read(0, committed=True)) < count:
            await asyncio.sleep(0.01)
    return values(found)


def values(found: list[Found]) -> list[bytes]:
    """Return what the records hold."""
    return [record.value for record in found]


class LogContract:
    """Subclassed by the tests of each log."""

    async def test_offsets_count_from_zero_and_append_time_is_the_brokers(self, log: Log) -> None:
        before_ms = await log.clock_ms()
        appended = [await log.append(b"%d" % number) for number in range(3)]

        assert [record.offset for record in appended] == [0, 1, 2]
        assert await log.read(0, committed=False) == appended
        assert before_ms <= appended[0].append_ms <= appended[2].append_ms <= await log.clock_ms()

    async def test_reading_begins_anywhere_in_the_log_and_nowhere_else(self, log: Log) -> None:
        for number in range(3):
            await log.append(b"%d" % number)

        assert values(await log.read(2, committed=False)) == [b"2"]
        assert await log.read(3, committed=True) == []
        try:
            await log.read(4, committed=False)
        except IndexError:
            return
        raise AssertionError("an offset outside the log was read")

    async def test_what_is_not_committed_is_hidden_with_all_behind_it(self, log: Log) -> None:
        holder = await log.take_id()
        await log.append(b"before")
        await holder.send(b"open")
        await log.append(b"behind")

        assert values(await log.read(0, committed=True)) == [b"before"]
        assert values(await log.read(0, committed=False)) == [b"before", b"open", b"behind"]

        await holder.commit()

        assert await committed(log, 3) == [b"before", b"open", b"behind"]

    async def test_the_end_of_a_transaction_takes_an_offset(self, log: Log) -> None:
        holder = await log.take_id()
        assert [await holder.send(b"0"), await holder.send(b"1")] == [0, 1]
        await holder.commit()
        await committed(log, 2)

        assert (await log.append(b"next")).offset == 3

    async def test_who_lost_the_id_cannot_begin_a_transaction(self, log: Log) -> None:
        first = await log.take_id()
        await first.send(b"first")
        await first.commit()
        second = await log.take_id()

        assert await is_fenced(first, b"late")

        await second.send(b"second")
        await second.commit()
        assert await committed(log, 2) == [b"first", b"second"]

    async def test_taking_the_id_aborts_what_is_open(self, log: Log) -> None:
        first = await log.take_id()
        await first.send(b"orphan")

        second = await log.take_id()

        try:
            await first.commit()
        except Fenced:
            pass
        else:
            raise AssertionError("a transaction was committed after its id was taken")
        await second.send(b"second")
        await second.commit()
        assert await committed(log, 1) == [b"second"]

    async def test_made_again_it_is_empty_and_offsets_begin_again(self, log: Log) -> None:
        await log.append(b"old")

        await log.make_again()

        assert await log.read(0, committed=False) == []
        assert (await log.append(b"new")).offset == 0

    async def test_what_a_frozen_broker_is_sent_is_appended_when_it_thaws(
        self, own_log: Log
    ) -> None:
        await own_log.append(b"before")
        await own_log.freeze()
        sent = asyncio.ensure_future(own_log.append(b"during"))
        done, _ = await asyncio.wait([sent], timeout=0.1)
        thawed_ms = await own_log.clock_ms()

        await own_log.thaw()

        assert not done
        async with asyncio.timeout(DEADLINE_S):
            assert (await sent).append_ms >= thawed_ms
        assert values(await own_log.read(0, committed=False)) == [b"before", b"during"]


async def is_fenced(holder: Transactions, value: bytes) -> bool:
    """Whether `holder` can commit nothing any more."""
    try:
        await holder.send(value)
        await holder.commit()
    except Fenced:
        return True
    return False
