"""The record of changes while Kafka is away: nobody waits in line, and logouts come later."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest
from prometheus_client import CollectorRegistry

from services.central.login.access import Kind, Need, Who
from services.central.login.audit_log import SOON_MAX, AuditLog
from services.central.login.logins import LoginClocks, Logins
from services.central.login.metrics import LoginMetrics
from shared import audit_writer
from shared.audit import Audited
from shared.audit_writer import AuditWriter
from shared.kafka import Brokers, KafkaAway, SendRefused
from shared.settings_events import Account
from shared.topics import AUDIT, Topic

NOWHERE = Brokers("127.0.0.1:1")
CHANGE = Audited(0, "a", "account admin", "192.0.2.7", "Name an interface")
ADMIN = Who(Kind.ACCOUNT, "admin", Need.OWN, "192.0.2.7", session="ab" * 8)


class Kafka:
    """Stands in for the broker; `tries` are those that it was asked for."""

    def __init__(self) -> None:
        self.tries: list[str] = []
        self.error: Exception | None = None
        self.is_asked, self.answers = asyncio.Event(), asyncio.Event()
        self.answers.set()

    async def take(self, value: bytes) -> None:
        self.tries.append(value.decode())
        self.is_asked.set()
        await self.answers.wait()
        if self.error is not None:
            raise self.error


@pytest.fixture
def kafka(monkeypatch: pytest.MonkeyPatch) -> Kafka:
    found = Kafka()

    class Producer:
        def __init__(self, brokers: Brokers, **options: object) -> None: ...

        async def start(self) -> None: ...

        async def stop(self) -> None: ...

        async def send(self, topic: str, *, partition: int, key: None, value: bytes) -> None:
            await found.take(value)

    async def ensure_topics(brokers: Brokers, topics: Sequence[Topic], **options: object) -> None:
        pass

    monkeypatch.setattr(audit_writer, "Producer", Producer)
    monkeypatch.setattr(audit_writer, "ensure_topics", ensure_topics)
    return found


async def notes_in_line(kafka: Kafka, error: Exception) -> list[bool]:
    """Return what becomes of five notes that come while Kafka has not answered the first."""
    writer = AuditWriter(NOWHERE, client_id="a")
    kafka.error = error
    kafka.answers.clear()
    line = [asyncio.create_task(writer.note(CHANGE)) for _ in range(5)]
    await kafka.is_asked.wait()
    kafka.answers.set()
    return await asyncio.gather(*line)


async def test_without_kafka_the_first_in_line_waits_for_all(kafka: Kafka) -> None:
    assert await notes_in_line(kafka, KafkaAway("no broker")) == [False] * 5
    assert len(kafka.tries) == 1


async def test_what_comes_later_is_tried_again(kafka: Kafka) -> None:
    writer = AuditWriter(NOWHERE, client_id="a")
    kafka.error = KafkaAway("no broker")
    assert not await writer.note(CHANGE)
    kafka.error = None
    assert await writer.note(CHANGE)


async def test_one_that_kafka_refuses_holds_no_other_up(kafka: Kafka) -> None:
    assert await notes_in_line(kafka, SendRefused("too large")) == [False] * 5
    assert len(kafka.tries) == 5


def audit_log(metrics: LoginMetrics) -> AuditLog:
    return AuditLog(NOWHERE, topic=AUDIT, node="a", now_ms=lambda: 0, metrics=metrics)


async def test_notes_that_nobody_waits_for_are_bounded_and_counted(kafka: Kafka) -> None:
    registry = CollectorRegistry()
    audit = audit_log(LoginMetrics("test", registry))
    kafka.answers.clear()
    for _ in range(SOON_MAX + 3):
        audit.note_soon(CHANGE)
    assert registry.get_sample_value("test_audit_lost_total") == 3
    kafka.answers.set()
    while audit._soon:
        await asyncio.gather(*audit._soon)
    assert len(kafka.tries) == SOON_MAX


async def test_a_logout_without_kafka_is_told_to_the_others_later(kafka: Kafka) -> None:
    registry = CollectorRegistry()
    metrics = LoginMetrics("test", registry)
    audit = audit_log(metrics)
    accounts: Mapping[str, Account] = {}
    clocks = LoginClocks(lambda: 0.0, lambda: 0.0)
    logins = Logins(lambda: accounts, audit, metrics, key=None, clocks=clocks)
    kafka.error = KafkaAway("no broker")

    await logins.log_out(ADMIN)
    await logins.tell_logouts()
    assert audit.is_ended(ADMIN.session)
    assert len(kafka.tries) == 2

    kafka.error = None
    await logins.tell_logouts()
    await logins.tell_logouts()
    assert len(kafka.tries) == 3
    assert ADMIN.session in kafka.tries[-1]
    assert registry.get_sample_value("test_audit_lost_total") == 0
