import asyncio
import json
import socket
import uuid
from pathlib import Path

import pytest

from cli.broker import Broker, BrokerError, configure, plan_broker, plan_node
from cli.broker_settings import (
    BrokerPlan,
    JoinedCluster,
    LocalListener,
    NetworkListener,
    server_properties,
)
from cli.ports import PortTaken, check_port, free_port
from cli.quorum import new_kafka_id, new_quorum
from cli.system import broker_child
from shared.kafka import Producer, ensure_topics, partition_facts
from shared.tls import TlsFiles
from shared.topics import Topic
from tests.tls_nodes import authority_in, make_node

DEADLINE_S = 60.0


def test_the_broker_can_grow_later(tmp_path: Path) -> None:
    plan = plan_broker(tmp_path, port=19_092, log=tmp_path / "log")
    settings = dict(line.split("=", 1) for line in server_properties(plan, plan.data).splitlines())
    assert settings["controller.quorum.bootstrap.servers"] == "127.0.0.1:19093"
    assert "controller.quorum.voters" not in settings
    assert settings["auto.create.topics.enable"] == "false"


def test_three_begin_as_one_quorum_and_keep_three_copies(tmp_path: Path) -> None:
    ids = iter(uuid.UUID(int=number) for number in range(4))
    quorum = new_quorum([(1, 2), (3, 4), (5, 6)], host="h", new_uuid=lambda: next(ids))
    assert quorum.bootstrap_servers == "h:1,h:3,h:5"
    assert [each.partition(":")[0] for each in quorum.initial_controllers.split(",")] == [
        "1@h", "2@h", "3@h",
    ]  # fmt: skip
    plan = plan_node(tmp_path, quorum, quorum.nodes[2])
    settings = dict(line.split("=", 1) for line in server_properties(plan, plan.data).splitlines())
    assert settings["node.id"] == "3"
    assert settings["controller.quorum.bootstrap.servers"] == "h:2,h:4,h:6"
    copies = {name: value for name, value in settings.items() if "replication.factor" in name}
    assert set(copies.values()) == {"3"}
    assert settings["min.insync.replicas"] == settings["transaction.state.log.min.isr"] == "2"


def test_one_that_joins_has_nothing_in_the_clear_and_nothing_on_loopback_for_others(
    tmp_path: Path,
) -> None:
    tls = TlsFiles.in_directory(tmp_path)
    plan = BrokerPlan(
        tmp_path, 0, 0, tmp_path / "log", number=7, machine="third", site="fra",
        network=NetworkListener("third.example", 19_094, tls), local=LocalListener(19_096, tls),
        joined=JoinedCluster("id", "first.example:19095"),
    )  # fmt: skip
    settings = dict(line.split("=", 1) for line in server_properties(plan, plan.data).splitlines())
    told = settings["advertised.listeners"].split(",")
    assert told == [
        "CONTROLLER://third.example:19095", "NETWORK://third.example:19094",
        "LOCAL://third.example:19094",
    ]  # fmt: skip
    assert "LOCAL://127.0.0.1:19096" in settings["listeners"]
    assert "PLAINTEXT" not in settings["listener.security.protocol.map"]
    assert settings["controller.quorum.bootstrap.servers"] == "first.example:19095"
    assert (settings["node.id"], settings["broker.rack"]) == ("7", "fra/third")
    assert plan.servers == "third.example:19094"


def test_a_broker_looks_for_the_quorum_where_other_brokers_were_too(tmp_path: Path) -> None:
    tls = TlsFiles.in_directory(tmp_path)
    first = BrokerPlan(
        tmp_path, 0, 0, tmp_path / "log", local=LocalListener(19_096, tls),
        network=NetworkListener("first", 19_094, tls), known="[::2]:5,127.0.0.1:19096,third:7",
    )  # fmt: skip
    third = BrokerPlan(
        tmp_path, 0, 0, tmp_path / "log", local=LocalListener(9, tls),
        network=NetworkListener("third", 7, tls), known="first:19094,[::2]:5,third:7",
        joined=JoinedCluster("id", "first:19095"),
    )  # fmt: skip
    name = "controller.quorum.bootstrap.servers"
    for plan, looks in ((first, "first:19095,[::2]:6,third:8"), (third, "first:19095,[::2]:6")):
        assert f"{name}={looks}\n" in server_properties(plan, plan.data)


def test_started_again_it_looks_where_others_have_come_since(tmp_path: Path) -> None:
    tls = make_node(authority_in(tmp_path / "tls"), tmp_path / "tls")
    plan = BrokerPlan(
        tmp_path / "kafka", 0, 0, tmp_path / "log", local=LocalListener(19_096, tls),
        network=NetworkListener("a.example", 19_094, tls),
    )  # fmt: skip
    plan.directory.mkdir()
    configure(plan)
    before = plan.properties.read_text()
    child = broker_child(plan, [])
    assert child.before is not None
    (tmp_path / "brokers").write_text("127.0.0.1:19096,b.example:19094\n")

    child.before()

    after = plan.properties.read_text()
    assert ("b.example:19095" in before, "b.example:19095" in after) == (False, True)


def test_no_cluster_id_looks_like_an_option() -> None:
    dashed, plain = uuid.UUID(bytes=b"\xf8" * 16), uuid.UUID(int=1)
    ids = iter([dashed, plain])
    assert new_kafka_id(lambda: next(ids)) == "AAAAAAAAAAAAAAAAAAAAAQ"


def test_the_controllers_port_is_kept(tmp_path: Path) -> None:
    (tmp_path / "node.json").write_text(json.dumps({"controller_port": 5}))
    assert plan_broker(tmp_path, port=19_092, log=tmp_path / "log").controller_port == 5
    (tmp_path / "node.json").write_text("half")
    with pytest.raises(BrokerError, match=r"node\.json cannot be read"):
        plan_broker(tmp_path, port=19_092, log=tmp_path / "log")


def test_a_taken_port_is_one_sentence_with_the_way_out() -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"TCP port {port} of .* is taken: .* --kafka-port"):
            check_port("127.0.0.1", port, option="--kafka-port")
    check_port("127.0.0.1", port, option="--kafka-port")


def test_a_taken_udp_port_is_seen() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken, match=f"UDP port {port}"):
            check_port("127.0.0.1", port, option="--udp-port", udp=True)


@pytest.mark.kafka
def test_what_was_acknowledged_is_there_after_a_stop_and_on_another_port(tmp_path: Path) -> None:
    broker = Broker.alone(tmp_path / "kafka", port=free_port(row=2))
    broker.start()
    topic = Topic("kept", "any", 1, None)

    async def send() -> None:
        await ensure_topics(broker.brokers, [topic], patience_s=DEADLINE_S)
        producer = Producer(broker.brokers, client_id="test")
        await producer.start()
        await producer.send(topic.name, partition=0, key=None, value=b"x")
        await producer.stop()

    asyncio.run(send())
    facts = asyncio.run(partition_facts(broker.brokers, topic.name))
    broker.stop()

    again = Broker.alone(tmp_path / "kafka", port=free_port(row=2))
    again.start()
    try:
        found = asyncio.run(partition_facts(again.brokers, topic.name, patience_s=DEADLINE_S))
        assert found == facts
        assert found[0].end_offset == 1
    finally:
        again.kill()
