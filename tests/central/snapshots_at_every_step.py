"""Snapshots between the steps of an applier, and what each of them becomes when it is restored."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from services.central.messages import Message
from services.central.snapshot.making import Order, make
from services.central.snapshot.restore import restore_if_asked
from shared.addresses import pack_address
from shared.losses import Loss, LossReason
from shared.snapshot import SnapshotTable
from tests.central.snapshots import MADE_AT_MS, as_downloaded, fed, origin_of, read, sums_of
from tests.central.stream_messages import Sent, a_stream, cut, log_of, send

Sums = dict[str, SnapshotTable]
MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DEADLINE_S = 120


def a_log() -> list[Message]:
    """Two streams over four hours: losses, a gap, repeats, bytes that are no Arrow, one end."""
    loss = (Loss(pack_address("192.0.2.1"), LossReason.TRUNCATED, 1),)
    at_ms = [hour * HOUR_MS + each * 20_000 for hour in range(4) for each in range(8)]
    one = a_stream(1, at_ms=at_ms, ends=True)
    other = a_stream(2, at_ms=[each + 7 for each in at_ms], worker="d/0")
    everywhere = frozenset(range(100))
    sent = [*cut(one, everywhere), *cut(other, everywhere)]
    sent = [
        send(one if each.range.stream == 1 else other, n, n, losses=loss) if n % 5 == 0 else each
        for each in sent
        if (n := each.range.first) and (each.range.stream, n) not in {(2, 4), (2, 11)}
    ]
    sent.sort(key=lambda each: (each.range.latest_ms, each.range.last))
    sent[40] = Sent(sent[40].range, b"no Arrow")
    return log_of([*sent[:20], *sent[12:]])


class Taken(NamedTuple):
    """A snapshot. held: the step that the central was about to make when the first copy began.

    between: the steps that it made from then on until the last copy began. What it makes before
    or after is in all copies, or in none.
    """

    folder: Path
    held: str
    between: tuple[str, ...]


class Steps:
    """Holds an applier before each of its steps until the test lets it go on."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.has_ended = False
        self._go = threading.Semaphore(0)
        self._waits = threading.Semaphore(0)

    @property
    def made(self) -> int:
        """How many steps were made; the last one with a name is held until the end."""
        return len(self.names) - (not self.has_ended)

    def before_step(self, step: str) -> None:
        self.names.append(step)
        self._waits.release()
        assert self._go.acquire(timeout=DEADLINE_S)

    def go(self, count: int) -> None:
        for _ in range(count):
            if self.has_ended:
                return
            self._go.release()
            assert self._waits.acquire(timeout=DEADLINE_S)

    @contextmanager
    def driven(self, work: Callable[[], None]) -> Iterator[None]:
        """Run `work` in a thread, held at its first step; to its end once the block ends."""
        errors: list[BaseException] = []

        def run() -> None:
            try:
                work()
            except BaseException as error:
                errors.append(error)
            finally:
                self.has_ended = True
                self._waits.release()

        thread = threading.Thread(target=run)
        thread.start()
        assert self._waits.acquire(timeout=DEADLINE_S)
        try:
            yield
        finally:
            while not self.has_ended:
                self.go(1)
            thread.join()
        assert not errors, errors


def snapshots_while_it_reads(
    data_dir: Path,
    folder: Path,
    log: Sequence[Message],
    *,
    at_most: int,
    steps_within: Callable[[int, str], int],
    order: Order | None = None,
) -> tuple[list[Taken], Sums]:
    """Take snapshots while a central reads `log`; return them and its sums at the end.

    steps_within: how many steps the central makes within a snapshot of that number, before the
    named step of the snapshot.
    """
    steps, taken = Steps(), list[Taken]()

    def take(number: int) -> Taken:
        copied_at: list[int] = []

        def before_step(step: str) -> None:
            steps.go(steps_within(number, step))
            if step == "metadata" or step.startswith("freeze "):
                copied_at.append(steps.made)

        make(
            origin_of(data_dir),
            folder / f"{number:03}",
            snapshot_id=f"{number:016x}",
            made_for="central-b",
            made_at_ms=MADE_AT_MS,
            before_step=before_step,
            order=order,
        )
        first, last = copied_at[0], copied_at[-1]
        held = "".join(steps.names[first : first + 1])
        return Taken(folder / f"{number:03}", held, tuple(steps.names[first:last]))

    with fed(data_dir, before_step=steps.before_step) as applier:
        with steps.driven(lambda: read(applier, log, at_once=3)):
            while not steps.has_ended and len(taken) < at_most:
                taken.append(take(len(taken)))
                steps.go(1)
        return taken, sums_of(applier._store)  # type: ignore[arg-type]  # a FlowStore


def restored_and_fed(snapshot: Path, data_dir: Path, log: Sequence[Message]) -> Sums:
    """Restore a snapshot, read what it does not hold, and return the sums."""
    as_downloaded(snapshot, data_dir)
    assert restore_if_asked(data_dir, origin_of(data_dir))
    with fed(data_dir) as applier:
        read(applier, log, at_once=100)
        return sums_of(applier._store)  # type: ignore[arg-type]  # a FlowStore
