"""An invite admits one machine, once, for a while."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from services.central.join.api import Joining, Signed, invites_router
from services.central.join.invites import KEPT_MS, InviteRefused, JoinsAs, redeemed, to_forget
from services.central.join.names import Newcomer
from services.central.problems import Forbidden, add_problems
from shared.invite_token import InviteToken, InviteTokenError, hash_secret, parse_token
from shared.settings_events import Invite, SettingRemoved, SettingsEvent, key_of

SECRET = "5e" * 24
FINGERPRINT = "f1" * 32
INVITE = Invite("00" * 8, "standby", hash_secret(SECRET), expires_at_ms=10_000)
USED = Invite(
    "11" * 8, "standby", hash_secret(SECRET), 10_000, "a", "central-c", "aa" * 32, used_at_ms=5
)


def redeem(invites: Sequence[Invite], meant: Invite, **changes: Any) -> Invite:
    given: dict[str, Any] = {
        "invite": meant.invite,
        "secret": SECRET,
        "joins_as": JoinsAs.STANDBY,
        "node": "central-c",
        "key": "aa" * 32,
        "now_ms": 9_999,
    }
    return redeemed(invites, **(given | changes))


def test_an_open_invite_admits_who_shows_its_secret() -> None:
    used = redeem([USED, INVITE], INVITE)

    assert (used.used_by, used.used_key, used.used_at_ms) == ("central-c", "aa" * 32, 9_999)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"secret": "00" * 24}, "not known here"),
        ({"invite": "22" * 8}, "not known here"),
        ({"now_ms": 10_000}, "expired"),
    ],
)
def test_another_secret_and_another_time_admit_nobody(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(InviteRefused, match=why):
        redeem([INVITE], INVITE, **changes)


def test_a_used_invite_admits_the_same_key_only() -> None:
    assert redeem([USED], USED) == USED

    for other in ({"key": "bb" * 32}, {"node": "central-d"}):
        with pytest.raises(InviteRefused, match="used already"):
            redeem([USED], USED, **other)


@pytest.mark.parametrize(
    ("invited", "role"),
    [(JoinsAs.STANDBY, JoinsAs.COLLECTOR), (JoinsAs.COLLECTOR, JoinsAs.STANDBY)],
)
def test_an_invite_admits_to_its_own_role_only(invited: JoinsAs, role: JoinsAs) -> None:
    invite = replace(INVITE, joins_as=invited.value)

    with pytest.raises(InviteRefused, match=f"invites a {invited}, not a {role}: .* {role} invite"):
        redeem([invite], invite, joins_as=role)
    # Who does not know the secret is not told what it was for.
    with pytest.raises(InviteRefused, match="not known here"):
        redeem([invite], invite, joins_as=role, secret="00" * 24)
    assert redeem([invite], invite, joins_as=invited).used_by


def test_invites_are_forgotten_long_after_they_were_over() -> None:
    assert to_forget([INVITE, USED], 10_000 + KEPT_MS) == []
    assert to_forget([INVITE], 10_001 + KEPT_MS) == [INVITE]


def test_a_token_is_read_back_and_hides_its_secret() -> None:
    token = InviteToken("00" * 8, SECRET, FINGERPRINT)

    assert parse_token(f" {token}\n") == token
    assert SECRET not in repr(token)
    for wrong in ("", "sf1", str(token)[:-1], str(token).replace("sf1", "sf2"), f"{token} x"):
        with pytest.raises(InviteTokenError, match="not whole"):
            parse_token(wrong)


@dataclass
class Book:
    """Invites as the settings hold them."""

    kept: dict[str, Invite] = field(default_factory=dict)
    now_ms: int = 1_000
    url: str = "https://central.example:8443"
    taken: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)

    async def why_taken(self, who: Newcomer) -> str:
        is_taken = who.name in self.taken and not (who.is_again or who.renews)
        return f"one named {who.name} runs already" if is_taken else ""

    async def replace(self, _request: Request, gone: str, newcomer: str) -> None:
        if gone == "lives":
            raise HTTPException(409, "lives answers")
        self.done.append(f"{newcomer} for {gone}")

    async def stay(self, machine: str) -> None:
        self.done.append(f"{machine} stays")

    def guard(self, app: ASGIApp) -> Any:  # Any: httpx has its own type of an application
        return app

    def invites(self) -> list[Invite]:
        return list(self.kept.values())

    async def change(self, event: SettingsEvent) -> None:
        if isinstance(event, SettingRemoved):
            self.kept.pop(event.key, None)
        else:
            assert isinstance(event, Invite)
            self.done.append(f"invite {event.used_by}".strip())
            self.kept[key_of(event)] = event

    def client(self, scheme: str = "https") -> httpx.AsyncClient:
        def sign(name: str, request: bytes, joins_as: JoinsAs) -> Signed:
            if b"REQUEST" not in request:
                raise ValueError("this is no certificate signing request")
            return Signed(f"certificate of {joins_as} {name}", "authority", request[-2:].hex() * 16)

        async def authorized(request: Request) -> None:
            if request.headers.get("Authorization") != "Bearer right":
                raise Forbidden("no")

        async def to_primary(request: Request) -> None: ...

        app = FastAPI()
        add_problems(app)
        app.include_router(
            invites_router(
                self.invites,
                self.change,
                Joining(
                    lambda: self.url,
                    lambda: FINGERPRINT,
                    sign,
                    lambda _name, joins_as: {"brokers": f"kafka.example:9093 for {joins_as}"},
                    lambda: self.now_ms,
                    lambda url, joins_as: [f"get {joins_as} from {url}"],
                    self.why_taken,
                    self.replace,
                    self.stay,
                    lambda request, before, joins_as: before == b"OLD",
                ),
                authorized=authorized,
                to_primary=to_primary,
                made_by="central-a",
            )
        )
        return httpx.AsyncClient(
            transport=httpx.ASGITransport(self.guard(app)), base_url=f"{scheme}://central.example"
        )


RIGHT = {"Authorization": "Bearer right"}


async def invited(book: Book, **wish: object) -> dict[str, Any]:
    async with book.client() as client:
        answer = await client.post("/api/v1/invites", json=wish, headers=RIGHT)
        assert answer.status_code == 200, answer.text
        made: dict[str, Any] = answer.json()
        return made


async def join(
    book: Book, token: str, *, key: str = "k1", scheme: str = "https", **changes: str
) -> httpx.Response:
    body = {"token": token, "name": "central-c", "request": f"REQUEST {key}", **changes}
    async with book.client(scheme) as client:
        return await client.post("/api/v1/join", json=body)


async def test_the_line_to_copy_lets_a_machine_join_once() -> None:
    book = Book()
    made = await invited(book)
    url, _, token = made["line"].removeprefix("steadflow standby join ").partition(" --token ")

    assert (url, token) == (book.url, made["token"])
    assert parse_token(token).fingerprint == FINGERPRINT
    answer = await join(book, token)
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "name": "central-c",
        "joins_as": "standby",
        "certificate": "certificate of standby central-c",
        "ca": "authority",
        "brokers": f"kafka.example:9093 for {JoinsAs.STANDBY}",
    }
    assert (await join(book, token)).status_code == 200
    other = await join(book, token, key="k2")
    assert (other.status_code, "used already" in other.text) == (403, True)


async def test_a_collector_is_invited_and_is_no_standby() -> None:
    book = Book()
    made = await invited(book, joins_as="collector")
    assert made["line"].startswith(f"steadflow collector join {book.url} --token sf1.")
    assert made["install"] == [f"get collector from {book.url}"]

    # Before it said what it joins as, whoever asked was a standby.
    for wrong in ({}, {"joins_as": "standby"}):
        answer = await join(book, made["token"], **wrong)
        assert (answer.status_code, "invites a collector" in answer.text) == (403, True)
    assert book.invites()[0].used_by == ""

    answer = await join(book, made["token"], joins_as="collector")
    assert answer.json()["certificate"] == "certificate of collector central-c"


async def test_a_name_that_is_taken_uses_nothing_up() -> None:
    book = Book(taken={"central-c"})
    made = await invited(book, joins_as="collector")

    # Without a token nobody is told who is there.
    assert (await join(book, made["token"][:-1], joins_as="collector")).status_code == 403
    taken = await join(book, made["token"], joins_as="collector")
    assert (taken.status_code, "named central-c runs already" in taken.text) == (409, True)
    assert book.invites()[0].used_by == ""
    assert (await join(book, made["token"], joins_as="collector", name="other")).status_code == 200


async def test_who_comes_again_by_its_invite_is_not_taken_for_another() -> None:
    book = Book()
    made = await invited(book)
    assert (await join(book, made["token"])).status_code == 200
    book.taken.add("central-c")

    assert (await join(book, made["token"])).status_code == 200
    other = await join(book, (await invited(book))["token"])
    assert (other.status_code, "runs already" in other.text) == (409, True)


async def test_one_that_is_gone_is_replaced_before_the_token_is_used_up() -> None:
    book = Book()
    made = await invited(book)

    refused = await join(book, made["token"], replaces="lives")
    assert (refused.status_code, "lives answers" in refused.text) == (409, True)
    assert book.invites()[0].used_by == ""
    assert (await join(book, made["token"], replaces="b/c")).status_code == 400

    assert (await join(book, made["token"], replaces="central-b")).status_code == 200
    assert book.done == [
        "invite", "central-c for central-b", "central-c stays", "invite central-c",
    ]  # fmt: skip


async def test_no_secret_is_kept_or_listed() -> None:
    book = Book()
    made = await invited(book, joins_as="collector", valid_s=60)
    secret = parse_token(made["token"]).secret

    async with book.client() as client:
        listed = await client.get("/api/v1/invites", headers=RIGHT)
    assert listed.json()["rows"][0]["standing"] == "open"
    assert secret not in listed.text + repr(book.kept)
    assert hash_secret(secret) not in listed.text


@pytest.mark.parametrize(
    ("method", "path"), [("POST", "invites"), ("GET", "invites"), ("DELETE", f"invites/{'0' * 16}")]
)
async def test_invites_need_the_bearer_token(method: str, path: str) -> None:
    async with Book().client() as client:
        answer = await client.request(method, f"/api/v1/{path}", json={})
    assert answer.status_code == 401


async def test_before_failover_is_enabled_nobody_is_invited() -> None:
    async with Book(url="").client() as client:
        answer = await client.post("/api/v1/invites", json={}, headers=RIGHT)
    assert (answer.status_code, "steadflow standby enable" in answer.text) == (409, True)


async def test_what_cannot_join_is_told_why() -> None:
    book = Book()
    made = await invited(book)

    plain = await join(book, made["token"], scheme="http")
    assert (plain.status_code, "https only" in plain.text) == (403, True)
    broken = await join(book, made["token"][:-1])
    assert (broken.status_code, "not whole" in broken.text) == (403, True)
    async with book.client() as client:
        body = {"token": made["token"], "name": "central-c", "request": "?"}
        answer = await client.post("/api/v1/join", json=body)
    assert (answer.status_code, "no certificate signing request" in answer.text) == (400, True)
    assert book.invites()[0].used_by == ""


async def test_an_invite_can_be_taken_back() -> None:
    book = Book()
    made = await invited(book)
    async with book.client() as client:
        answers = [
            await client.delete(f"/api/v1/invites/{each}", headers=RIGHT)
            for each in (made["invite"], made["invite"], "0" * 16)
        ]
    # Nobody is told that an invite is gone which was never meant.
    assert [each.status_code for each in answers] == [200, 404, 404]

    answer = await join(book, made["token"])
    assert (answer.status_code, "not known here" in answer.text) == (403, True)


async def test_a_machine_whose_certificate_ends_joins_again_under_its_name() -> None:
    book = Book(taken={"witness-1"})
    wanted = {"name": "witness-1", "joins_as": "witness"}

    async def asked(before: str) -> int:
        token = (await invited(book, joins_as="witness"))["token"]
        return (await join(book, token, before=before, **wanted)).status_code

    assert [await asked(before) for before in ("", "of another", "OLD")] == [409, 409, 200]
