"""Where the brokers are is noted for the next start: the first one may be gone by then."""

import asyncio
from pathlib import Path

import pytest

import cli.known_brokers as known_brokers
from cli.known_brokers import follow, with_known
from shared.kafka import Brokers, KafkaAway
from shared.tasks import end_task
from shared.tls import TlsError
from tests.tls_nodes import authority_in, make_node
from tests.waiting import wait_until


def test_without_a_note_only_what_was_given_is_tried(tmp_path: Path) -> None:
    assert with_known(tmp_path, "a:1,b:2") == "a:1,b:2"


async def test_brokers_that_were_seen_are_tried_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: list[list[str] | None] = [["a:1"], None, ["b:2", "a:1"]]
    whom: list[str] = []

    async def asked(brokers: Brokers, *, patience_s: float) -> list[str]:
        whom.append(brokers.servers)
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if answer is None:
            raise KafkaAway("away")
        return answer

    monkeypatch.setattr(known_brokers, "registered_addresses", asked)
    monkeypatch.setattr(known_brokers, "EVERY_S", 0.0)
    following = asyncio.create_task(follow(tmp_path, Brokers("a:1")))
    await asyncio.to_thread(
        wait_until, lambda: with_known(tmp_path, "a:1") == "a:1,b:2", "both are noted", 30
    )
    # The one that was given may be gone by now.
    await asyncio.to_thread(wait_until, lambda: whom[-1] == "a:1,b:2", "both are asked", 30)
    await end_task(following)
    assert (tmp_path / "brokers").stat().st_mode & 0o777 == 0o600


async def test_what_cannot_be_noted_ends_nothing_and_is_noted_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def asking(brokers: Brokers, *, patience_s: float) -> list[str]:
        nonlocal asked
        asked += 1
        return ["a:1", "b:2"]

    monkeypatch.setattr(known_brokers, "registered_addresses", asking)
    monkeypatch.setattr(known_brokers, "EVERY_S", 0.0)
    blocked = tmp_path / "brokers"
    blocked.mkdir()
    following = asyncio.create_task(follow(tmp_path, Brokers("a:1")))
    await asyncio.to_thread(wait_until, lambda: asked > 3, "it goes on asking", 30)
    assert with_known(tmp_path, "a:1") == "a:1"

    blocked.rmdir()
    await asyncio.to_thread(
        wait_until, lambda: with_known(tmp_path, "a:1") == "a:1,b:2", "both are noted", 30
    )
    await end_task(following)


async def test_a_certificate_that_is_gone_for_a_moment_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make_node(authority_in(tmp_path / "authority"), tmp_path / "tls")
    whom: list[str] = []

    async def asked(brokers: Brokers, *, patience_s: float) -> list[str]:
        whom.append(brokers.servers)
        if len(whom) == 1:
            files.key.unlink()
            raise TlsError("the key is missing")
        return ["a:1", "b:2"]

    monkeypatch.setattr(known_brokers, "registered_addresses", asked)
    monkeypatch.setattr(known_brokers, "EVERY_S", 0.0)
    following = asyncio.create_task(follow(tmp_path, Brokers("a:1", files)))
    await asyncio.to_thread(
        wait_until, lambda: bool(whom) and whom[-1] == "a:1,b:2", "both are asked", 30
    )
    await end_task(following)
