"""A Kafka of the user's own is left as it is, and what is risky about it is named."""

from collections.abc import Iterable

import pytest

from services.central.brokers.keeper import BrokerLimits, Keeper
from services.central.brokers.outside import OURS, TRANSACTIONS, risks
from shared.kafka import Brokers
from shared.membership import Copies
from shared.topics import TOPICS
from tests.central.kafka_machines import MemoryMachines, cluster

HOUR_MS = 3_600_000


def settings(**changes: dict[str, str]) -> dict[str, dict[str, str]]:
    """What a careful administrator set, but for `changes` by topic."""
    found = {
        topic.name: {
            "min.insync.replicas": "2", "unclean.leader.election.enable": "false",
            "retention.ms": topic.configs["retention.ms"],
            "cleanup.policy": topic.configs["cleanup.policy"],
        }
        for topic in TOPICS
    }  # fmt: skip
    found[TRANSACTIONS] = {
        "min.insync.replicas": "2", "unclean.leader.election.enable": "false",
        "retention.ms": "604800000", "cleanup.policy": "compact",
    }  # fmt: skip
    for name, change in changes.items():
        found[name.replace("_", ".")] |= change
    return found


def copies(held: int = 3, *, of: Iterable[str] = OURS) -> list[Copies]:
    replicas = tuple(range(1, held + 1))
    return [Copies(name, 0, 1, replicas, replicas) for name in of]


def test_a_careful_cluster_has_no_risk() -> None:
    assert risks(copies(), settings()) == []


def test_what_has_one_copy_is_named() -> None:
    (line,) = risks([*copies(of=OURS[1:]), *copies(1, of=["flows"])], settings())
    assert line.startswith("flows has one copy: ")

    lines = risks(copies(1), settings())
    assert lines[0].startswith("audit, collectors and 9 more have one copy")
    assert lines[1].startswith("__transaction_state has one copy: without")


@pytest.mark.parametrize(
    ("topic", "name", "value", "said"),
    [
        ("flows", "min.insync.replicas", "1", "what a single broker acknowledged is lost"),
        ("flows", "min.insync.replicas", "3", "nothing is written while one broker is away"),
        ("settings", "unclean.leader.election.enable", "true", "take back what was acknowledged"),
        ("flows", "retention.ms", str(24 * HOUR_MS), "flows is kept for 24 h, not for 72 h: a st"),
        ("flows", "retention.ms", "-1", "flows is kept for ever, not for 72 h: it must end before"),
        ("ha_log", "retention.ms", str(168 * HOUR_MS), "kept for 168 h, not for ever: a system"),
        ("settings", "cleanup.policy", "delete", "settings is delete, not compact"),
    ],
)
def test_each_risk_is_one_sentence(topic: str, name: str, value: str, said: str) -> None:
    lines = risks(copies(), settings(**{topic: {name: value}}))
    assert any(said in line for line in lines), lines


def test_longer_than_needed_is_no_risk_but_for_flows() -> None:
    assert risks(copies(), settings(rates={"retention.ms": str(24 * HOUR_MS)})) == []
    # A compacted topic keeps the last record of each key whatever its age.
    assert risks(copies(), settings(settings={"retention.ms": "1"})) == []


class OutsideMachines(MemoryMachines):
    """A cluster of the user's own, with one copy of everything."""

    async def topic_settings(
        self, topics: Iterable[str], names: Iterable[str]
    ) -> dict[str, dict[str, str]]:
        return {topic: settings()[topic] for topic in topics}

    async def copies(self) -> list[Copies]:
        return copies(1)


async def test_it_is_looked_at_and_left_alone() -> None:
    async def change(event: object) -> None:
        raise AssertionError(event)

    machines = OutsideMachines(cluster(1))
    keeper = Keeper(
        brokers=lambda: None,
        local=Brokers("unused:1"),
        home=0,
        is_primary=lambda: True,
        centrals=lambda: (),
        able=lambda: (),
        limits=BrokerLimits(1, 2),
        leaving=dict,
        change=change,
        now_ms=lambda: 0,
        connect=machines.connect,
    )

    await keeper.turn()

    assert machines.done == []
    assert keeper.shown()["machines"] == []
    assert keeper.shown()["risks"] == keeper.sentences() == risks(copies(1), settings())
