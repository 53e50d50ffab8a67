"""Who joined, and in whose place, is in the record, and no secret is."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp

from services.central.login.access import Kind, Need, Who
from services.central.login.audit_log import FORCED, AuditLog
from services.central.login.guard import Guarded
from services.central.login.metrics import LoginMetrics
from shared.audit import Audited, decode_audited
from shared.invite_token import InviteToken, hash_secret, parse_token
from shared.kafka import Brokers
from shared.settings_events import Invite, SettingsEvent, invite_key
from shared.topics import AUDIT
from tests.central.test_guard import TOKEN, Noted, Site
from tests.central.test_invites import SECRET, Book, join


@dataclass
class Recorded(Book):
    """A book behind the guard. together: what was recorded in the transaction of a change."""

    metrics: LoginMetrics = field(default_factory=lambda: LoginMetrics("test", CollectorRegistry()))
    together: list[Audited] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.audit = Noted(self.metrics)

    def guard(self, app: ASGIApp) -> Any:  # Any: httpx has its own type of an application
        return Guarded(app, door=Site().door, audit=self.audit, metrics=self.metrics)

    async def change(self, event: SettingsEvent) -> None:
        await super().change(event)
        self.together += [decode_audited(each.value) for each in self.audit.owed()]
        self.audit.paid()


INVITE = "00" * 8
PUBLIC_KEY = "the key"


def open_book(**settings: Any) -> tuple[Recorded, str]:  # Any: fields of `Book`
    book = Recorded(**settings)
    token = InviteToken(INVITE, SECRET, "f1" * 32)
    book.kept[invite_key(INVITE)] = Invite(INVITE, "standby", hash_secret(SECRET), 10_000)
    return book, str(token)


async def test_who_is_admitted_is_recorded_with_its_invite_in_the_same_transaction() -> None:
    book, token = open_book()

    answer = await join(book, token, key=PUBLIC_KEY, replaces="central-b")

    assert answer.status_code == 200
    (record,) = book.together
    assert book.audit.noted == []
    assert (record.by, record.address, record.status) == (f"invite {INVITE}", "127.0.0.1", 200)
    assert record.what == "Join with the token of an invite"
    assert record.request == "POST /api/v1/join"
    assert record.facts == "name=central-c joins_as=standby replaces=central-b"
    for secret in (token, parse_token(token).secret, PUBLIC_KEY):
        assert secret not in repr(record)


async def test_a_standby_that_passes_it_on_tells_from_where_it_came() -> None:
    book, token = open_book()
    body = {"token": token, "name": "central-c", "request": "REQUEST k1"}
    headers = {
        "Authorization": f"Bearer {TOKEN}", "Steadflow-By": "nobody - 192.0.2.7",
        "Steadflow-Forwarded": "1",
    }  # fmt: skip

    async with book.client() as client:
        assert (await client.post("/api/v1/join", json=body, headers=headers)).status_code == 200

    (record,) = book.together
    assert (record.by, record.address) == (f"invite {INVITE}", "192.0.2.7")


async def test_who_is_refused_is_recorded_if_its_token_was_right() -> None:
    book, token = open_book(taken={"central-c"})

    assert (await join(book, token)).status_code == 409
    assert [(each.by, each.status, each.facts) for each in book.audit.noted] == [
        (f"invite {INVITE}", 409, "name=central-c joins_as=standby")
    ]

    # Anybody may ask, and would fill the record.
    book.audit.noted.clear()
    wrong = str(InviteToken(INVITE, "00" * 24, "f1" * 32))
    answers: list[httpx.Response] = [await join(book, each) for each in (wrong, token[:-1])]
    assert [each.status_code for each in answers] == [403, 403]
    assert (await join(book, token, scheme="http")).status_code == 403
    assert book.audit.noted == book.together == []


class Topic:
    """Takes records, unless it is away."""

    def __init__(self) -> None:
        self.taken: list[Audited] = []
        self.is_away = False

    async def note(self, audited: Audited) -> bool:
        if not self.is_away:
            self.taken.append(audited)
        return not self.is_away


async def test_what_was_forced_is_recorded_once_whoever_is_the_primary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, topic = LoginMetrics("test", CollectorRegistry()), Topic()
    who = Who(Kind.SYSTEM, "token", Need.OWN, "192.0.2.9")

    def a_primary(at_ms: int) -> AuditLog:
        audit = AuditLog(
            Brokers("unused:1"), topic=AUDIT, node="a", now_ms=lambda: at_ms, metrics=metrics
        )
        monkeypatch.setattr(audit, "_writer", topic)
        return audit

    async def told(audit: AuditLog, facts: str) -> bool:
        return await audit.note_once(audit.record_of_forced(who, facts))

    first, second = a_primary(1), a_primary(2)
    topic.is_away = True
    assert not await told(first, "forced=disk")
    topic.is_away = False
    assert await told(first, "forced=disk")
    assert await told(first, "forced=disk")
    (record,) = topic.taken
    assert (record.what, record.by, record.facts) == (FORCED, "system token", "forced=disk")

    # What the one before recorded the next one has read.
    second.entries.append(record)
    assert await told(second, "forced=disk")
    assert await told(second, "forced=disk, memory")
    assert [each.facts for each in topic.taken] == ["forced=disk", "forced=disk, memory"]
