"""Publishes what this central holds of every minute and hour that it has closed."""

import logging
from collections.abc import Callable
from functools import partial

from services.central.applier import Applier
from services.central.metrics import CentralMetrics
from services.central.proof.checking import closed_records
from services.central.proof.ledger import Ledger
from services.central.proof.publishing import owed, passed_of
from services.central.proof.repairing import Thread
from services.central.proof.sender import Sender
from services.central.store.proof_rows import ProofRows
from services.central.store.rollups import Level
from shared.digest_records import Passed

log = logging.getLogger(__name__)


class Publisher:
    """Goes on where the records on the topic end."""

    def __init__(
        self,
        rows: ProofRows,
        applier: Applier,
        sender: Sender,
        *,
        ledger: Callable[[], Ledger],
        in_proof_thread: Thread,
        metrics: CentralMetrics,
    ) -> None:
        """ledger: what the topic says now."""
        self._rows = rows
        self._applier = applier
        self._sender = sender
        self._ledger = ledger
        self._in_proof_thread = in_proof_thread
        self._metrics = metrics.proof
        self._sent: dict[int, Passed] = {}
        self._is_anew = False

    def begin(self, *, anew: bool = False) -> None:
        """Forget what was sent: the topic is another one, or what was sent counts no more.

        anew: tell all again that is not on the topic, however far this central said to be: it may
        have said so behind the record by which it left, before it read that.
        """
        self._sent = {}
        self._is_anew = anew

    async def turn(self, oldest_ms: int) -> None:
        """Publish all that was closed since the last turn; the topic must be read to its end.

        oldest_ms: what begins earlier is not compared any more, UTC. Raises StoreAway, KafkaAway
        and SendRefused: the next turn goes on.
        """
        ledger, sent, is_anew = self._ledger(), self._sent, self._is_anew
        # One value: what is closed in it stays closed.
        for progress in list(self._applier.state.streams.values()):
            now = passed_of(ledger.central, progress)
            before = sent.get(progress.stream)
            if before is None and not is_anew:
                before = ledger.own_passed.get(progress.stream)
            if now == before or now.minutes_until_ms <= oldest_ms:
                continue
            for span in owed(before, now, oldest_ms=oldest_ms):
                records = await self._in_proof_thread(
                    partial(
                        closed_records,
                        self._rows,
                        ledger.central,
                        Level(span.level),
                        progress.stream,
                        span.from_ms,
                        span.to_ms,
                    )
                )
                # What is there is what was closed; what is in the store now may have changed since.
                new = [each for each in records if each.period not in ledger.own]
                await self._sender.send(new)
                self._metrics.published.inc(len(new))
            await self._sender.send([now])
            sent[progress.stream] = now
        for stream in sent.keys() - self._applier.state.streams.keys():
            del sent[stream]
