"""Logins, tokens and the record of changes on the real broker, at two centrals of one cluster."""

import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from fastapi import FastAPI

from services.central.app import create_app, running
from services.central.login.api import pages_router
from services.central.login.throttle import ADDRESS_FREE
from shared.topics import Topic
from tests.central.centrals import TOKEN, URL, Place, Running, authorized, client_of
from tests.central.other_central import OtherCentral
from tests.central.own_roles import own_roles
from tests.central.patient import PatientTransport
from tests.central.small_registry import SmallRegistry

pytestmark = pytest.mark.kafka

PASSWORD = "correct horse battery"
NEXT = "staple correct horse"
DAYS = {"raw_days": 5, "minute_days": 20, "hour_days": 300}


@dataclass
class Cluster:
    """The primary, and another central that passes changes on to it."""

    primary: Running
    app: FastAPI
    other: OtherCentral

    async def audit(self) -> list[dict[str, object]]:
        answer = await self.primary.client.get("/api/v1/audit", headers=authorized())
        rows: list[dict[str, object]] = answer.json()["rows"]
        return rows

    async def noted(self, *wanted: object) -> dict[str, object]:
        """Wait for an entry with all of these values, and return it."""
        found: list[dict[str, object]] = []

        def is_there() -> bool:
            entries = self.primary.central.login.audit.entries
            found[:] = [
                {"by": e.by, "what": e.what, "request": e.request, "facts": e.facts,
                 "address": e.address, "node": e.node, "count": e.count, "status": e.status}
                for e in entries
            ]  # fmt: skip
            found[:] = [e for e in found if set(wanted) <= set(e.values())]
            return bool(found)

        await self.primary.until(is_there)
        return found[-1]


def browser(app: FastAPI) -> httpx.AsyncClient:
    """A client with cookies, which sends what a page of that central would."""
    return httpx.AsyncClient(
        transport=PatientTransport(app, client=("192.0.2.7", 1)),
        base_url=URL,
        headers={"Origin": URL},
    )


@contextlib.asynccontextmanager
async def clustered(
    broker: str, make_topic: Callable[..., Topic], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Cluster]:
    settings = make_topic("settings", compacted=True, append_time=False, retention=None)
    place = Place(folder / "a", broker, make_topic("flows"), settings, own_roles(make_topic))
    registry = SmallRegistry(broker, place.roles.log)
    async with place.run() as primary, registry.run():
        await primary.until(lambda: primary.central.roles.role.is_primary)
        app = create_app(primary.central)
        app.include_router(
            pages_router(primary.central.login.logins, head=lambda: "", central="central-a")
        )
        _pass_on_within(monkeypatch, app)
        async with OtherCentral(place, folder / "b").running() as other:
            await other.until(lambda: other.settings.is_complete)
            yield Cluster(primary, app, other)


def _pass_on_within(monkeypatch: pytest.MonkeyPatch, primary: FastAPI) -> None:
    """Have what is passed on reach the primary, which listens on no port here."""
    transport = httpx.ASGITransport(primary)

    def client(**options: object) -> httpx.AsyncClient:
        return httpx.AsyncClient(transport=transport, timeout=60)

    within = SimpleNamespace(
        AsyncClient=client, HTTPError=httpx.HTTPError, InvalidURL=httpx.InvalidURL
    )
    monkeypatch.setattr("services.central.roles.api.httpx", within)


async def test_a_login_its_change_and_its_end_are_known_to_both_centrals_and_recorded(
    broker: str,
    make_topic: Callable[..., Topic],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG, "services")
    caplog.set_level(logging.DEBUG, "shared")
    secrets = [PASSWORD, NEXT, TOKEN]
    async with clustered(broker, make_topic, tmp_path, monkeypatch) as cluster:
        first, second = browser(cluster.app), browser(cluster.other.app)
        assert "No password was set yet" in (await first.get("/login")).text
        made = await cluster.primary.client.put(
            "/api/v1/accounts/admin", json={"password": PASSWORD}, headers=authorized()
        )
        assert made.status_code == 200, made.text
        await cluster.other.until(lambda: cluster.other.login.logins.has_accounts)
        (account,) = cluster.other.tables.accounts().values()
        secrets.append(account.password_hash)

        # Logged in at one central, known to both; the cookie is for no script and no other site.
        answer = await first.post(
            "/login", data={"account": "admin", "password": PASSWORD, "next": "/failover"}
        )
        assert (answer.status_code, answer.headers["location"]) == (303, "/failover")
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        second.cookies = first.cookies
        secrets.append(first.cookies["steadflow"])
        assert (await second.get("/api/v1/audit")).status_code == 200

        # Changed at the other one, which passes it on: done and recorded in the name of who asked.
        changed = await second.put("/api/v1/settings/retention", json=DAYS)
        assert changed.status_code == 200, changed.text
        entry = await cluster.noted("PUT /api/v1/settings/retention")
        assert entry["by"] == "account admin"
        assert entry["address"] == "192.0.2.7"
        assert entry["facts"] == "raw_days=5 minute_days=20 hour_days=300"
        assert entry["node"] == "central-a"
        requests = [row["request"] for row in await cluster.audit()]
        assert requests.count("PUT /api/v1/settings/retention") == 1

        # A page of elsewhere has the cookie too, and yet changes nothing.
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}):
            refused = await first.put("/api/v1/settings/retention", json=DAYS, headers=headers)
            assert refused.status_code == 403

        # A token of each scope.
        tokens = {}
        for scope in ("read", "change"):
            made = await first.post("/api/v1/tokens", json={"name": f"to {scope}", "scope": scope})
            assert made.status_code == 200, made.text
            tokens[scope] = made.json()
            secrets.append(made.json()["value"].rpartition(".")[2])
        await cluster.other.until(lambda: len(cluster.other.tables.tokens()) == 2)
        client = browser(cluster.other.app)
        for scope, token in tokens.items():
            client.headers["Authorization"] = f"Bearer {token['value']}"
            assert (await client.get("/api/v1/audit")).status_code == 200
            named = await client.put("/api/v1/settings/exporters/192.0.2.1", json={"name": "core"})
            assert named.status_code == (200 if scope == "change" else 403), named.text
            assert (await client.get("/api/v1/tokens")).status_code == 403
        await cluster.noted("token to_change", "name=core")
        revoked = await first.delete(f"/api/v1/tokens/{tokens['read']['token']}")
        assert revoked.status_code == 200
        client.headers["Authorization"] = f"Bearer {tokens['read']['value']}"
        await cluster.other.until(lambda: len(cluster.other.tables.tokens()) == 1)
        assert (await client.get("/api/v1/audit")).status_code == 401

        # Whoever misspells a name is not told that it is gone.
        for unknown in ("accounts/admn", f"tokens/{tokens['read']['token']}"):
            assert (await first.delete(f"/api/v1/{unknown}")).status_code == 404

        # Out at one central is out at both.
        third = browser(cluster.app)
        third.cookies = first.cookies
        assert (await first.post("/logout")).status_code == 303
        await cluster.noted("Log out")
        assert (await third.get("/api/v1/audit")).status_code == 401
        session = second.cookies["steadflow"].split(".")[3]
        await cluster.other.until(lambda: cluster.other.login.audit.is_ended(session))
        assert (await second.get("/api/v1/audit")).status_code == 401

        # A new password needs the old one, and ends what the old one began.
        await first.post("/login", data={"account": "admin", "password": PASSWORD})
        assert (await first.get("/api/v1/audit")).status_code == 200
        put = "/api/v1/accounts/admin"
        wrong = await first.put(put, json={"password": NEXT, "current": "not this one"})
        assert wrong.status_code == 403
        right = await first.put(put, json={"password": NEXT, "current": PASSWORD})
        assert right.status_code == 200, right.text
        assert (await first.get("/api/v1/audit")).status_code == 401
        assert (await first.delete(put)).status_code == 401

        # One sentence for a wrong name and a wrong password, and a wait that grows.
        answers = [
            await first.post("/login", data={"account": account, "password": "wrong " + NEXT})
            for account in ("admin", "nobody", PASSWORD)
        ]
        assert {each.status_code for each in answers[:2]} == {401}
        texts = {each.text.replace("nobody", "admin") for each in answers[:2]}
        assert len(texts) == 1
        # However slow this machine is, the wait outgrows a try.
        while answers[-1].status_code != 429:
            assert len(answers) < ADDRESS_FREE + 12
            again = {"account": "admin", "password": "wrong " + NEXT}
            answers.append(await first.post("/login", data=again))
        assert int(answers[-1].headers["retry-after"]) >= 1
        assert len(answers) > ADDRESS_FREE - 1
        entry = await cluster.noted("Failed to log in")
        assert entry["status"] == 401
        rows = await cluster.audit()
        noted = [row for row in rows if row["what"] == "Failed to log in"]
        assert len(noted) < len(answers) // 2

        shown = [json.dumps(rows), caplog.text]
        for path in ("/metrics", "/openapi.json", "/api/v1/cluster", "/api/v1/history",
                     "/api/v1/settings", "/api/v1/accounts", "/api/v1/tokens", "/login",
                     "/api/v1/snapshots"):  # fmt: skip
            shown.append((await cluster.primary.client.get(path, headers=authorized())).text)
    for text in shown:
        assert [each for each in secrets if each in text] == []
    # Negative control: what was looked for is what is really secret.
    assert PASSWORD in json.dumps({"password": PASSWORD})
    assert all(len(each) > 15 for each in secrets)


async def test_the_first_account_is_made_of_a_file_by_the_primary(
    broker: str, make_topic: Callable[..., Topic], tmp_path: Path
) -> None:
    file = tmp_path / "password"
    file.touch(mode=0o600)
    file.write_text(PASSWORD)
    settings = make_topic("settings", compacted=True, append_time=False, retention=None)
    place = Place(tmp_path / "a", broker, make_topic("flows"), settings, own_roles(make_topic))
    registry = SmallRegistry(broker, place.roles.log)
    with place.opened(config=place.config(admin_password_file=file)) as central:
        async with running(central) as loops, client_of(central) as client, registry.run():
            found = Running(central, client, loops)
            await found.until(lambda: central.login.logins.has_accounts)
            assert await central.login.logins.log_in("admin", PASSWORD, "192.0.2.1")
