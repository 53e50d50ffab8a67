"""Takeovers are paused while the broker is restarted, by whom they were not paused before."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli import running
from cli.steady import no_takeover
from shared.token import make_token
from tests.cli.fake_node import FakeNode

VIEW, ACTS = "GET /api/v1/cluster", "GET /primary"


@pytest.fixture
def node() -> Iterator[FakeNode]:
    with FakeNode() as node:
        thread = threading.Thread(target=node.serve_forever)
        thread.start()
        node.answers = {
            VIEW: (200, {"paused": False}),
            "POST /pause": (200, {}),
            "POST /resume": (200, {}),
            ACTS: (200, {}),
        }
        yield node
        node.shutdown()
        thread.join()


@pytest.fixture
def home(tmp_path: Path, node: FakeNode) -> Iterator[Path]:
    make_token(tmp_path / "token")
    with running.hold(tmp_path):
        each = [{"name": "central-a", "url": node.url}]
        running.write(tmp_path, {"registries": each, "centrals": each})
        yield tmp_path


def asked(node: FakeNode) -> list[str]:
    return [what for what, _, _ in node.asked if what != VIEW]


async def test_paused_until_the_primary_acts_again(home: Path, node: FakeNode) -> None:
    async with no_takeover(home, lambda said: None):
        assert asked(node) == ["POST /pause"]
    assert asked(node) == ["POST /pause", ACTS, ACTS, "POST /resume"]


async def test_what_a_person_paused_stays_paused(home: Path, node: FakeNode) -> None:
    node.answers[VIEW] = (200, {"paused": True})
    async with no_takeover(home, lambda said: None):
        pass
    assert asked(node) == []


async def test_resumed_also_when_the_restart_failed(home: Path, node: FakeNode) -> None:
    with pytest.raises(RuntimeError):
        async with no_takeover(home, lambda said: None):
            raise RuntimeError
    assert asked(node)[-1] == "POST /resume"


async def test_a_refusal_is_said_and_prevents_nothing(home: Path, node: FakeNode) -> None:
    said: list[str] = []
    node.answers["POST /pause"] = (503, {"detail": "not now"})
    async with no_takeover(home, said.append):
        pass
    assert said == ["takeovers are not paused meanwhile: not now"]
    assert asked(node) == ["POST /pause"]
