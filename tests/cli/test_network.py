"""This machine's certificate, and a broker that is opened while it runs."""

import asyncio
import os
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from cli.broker import plan_broker
from cli.broker_settings import BrokerPlan, server_properties
from cli.network import (
    NetworkWatch,
    network_file,
    prepare_tls,
    tls_dir,
    with_network,
)
from cli.ports import PortTaken, free_port
from cli.refusals import check_refused, refusals
from cli.supervise import ChildPlan, Supervisor
from shared.network import (
    Network,
    NetworkError,
    Standing,
    Wish,
    has_wish,
    leave_wish,
    read_network,
    read_standing,
    write_network,
)
from shared.tasks import end_task
from shared.tls import TlsError, TlsFiles, make_authority
from shared.tls.renewal import needs_another
from tests.tls_nodes import authority_in, make_node

DEADLINE_S = 60.0
SLEEP = "import time; time.sleep(600)"


def test_the_authority_is_made_at_the_first_start_and_kept(tmp_path: Path) -> None:
    files = prepare_tls(tmp_path)
    made = {path.name: path.read_bytes() for path in tls_dir(tmp_path).iterdir()}
    assert set(made) == {"ca.pem", "ca.key", "node.pem", "node.key"}
    assert all(
        (tls_dir(tmp_path) / f"{name}.key").stat().st_mode & 0o77 == 0 for name in ("ca", "node")
    )

    assert prepare_tls(tmp_path) == files
    assert {path.name: path.read_bytes() for path in tls_dir(tmp_path).iterdir()} == made


def test_another_name_needs_another_certificate_of_the_same_authority(tmp_path: Path) -> None:
    files = prepare_tls(tmp_path)
    ca, node = files.ca.read_bytes(), files.certificate.read_bytes()

    prepare_tls(tmp_path, hosts=["flows.example"])

    assert files.ca.read_bytes() == ca
    assert files.certificate.read_bytes() != node
    authority, now = make_authority(tls_dir(tmp_path), now=datetime.now(UTC)), datetime.now(UTC)
    hosts = ["localhost", "127.0.0.1", "FLOWS.example"]
    assert not needs_another(files, authority, hosts=hosts, now=now)
    assert needs_another(files, authority, hosts=[*hosts, "192.0.2.1"], now=now)
    with pytest.raises(TlsError, match="is no host name"):
        prepare_tls(tmp_path, hosts=["a b"])


def test_a_certificate_is_renewed_before_it_expires_and_where_it_is_unusable(
    tmp_path: Path,
) -> None:
    authority, now = authority_in(tmp_path / "authority"), datetime.now(UTC)
    files = make_node(authority, tmp_path / "node")

    def due(days: int = 0, by: TlsFiles = files) -> bool:
        return needs_another(by, authority, hosts=["localhost"], now=now + timedelta(days=days))

    assert not due()
    assert not due(825 - 62)
    assert due(825 - 59)
    assert due(by=make_node(authority_in(tmp_path / "other"), tmp_path / "theirs"))
    assert due(by=TlsFiles.in_directory(tmp_path / "nowhere"))
    files.key.write_bytes(b"")
    assert due()


def test_what_was_enabled_is_kept_whole(tmp_path: Path) -> None:
    network = Network("flows.example", 19_094, {"central-a": 443, "central-b": 444})
    path = network_file(tmp_path)
    assert read_network(path) is None
    write_network(path, network)
    assert read_network(path) == network
    for broken in (
        "",
        "[]",
        "{}",
        '{"host": "a", "kafka_port": "b", "https_ports": {}, "bind": ""}',
    ):
        path.write_text(broken)
        with pytest.raises(NetworkError, match="is not what"):
            read_network(path)


def test_the_broker_tells_others_its_name_and_listens_on_loopback_all_the_same(
    tmp_path: Path,
) -> None:
    tls = prepare_tls(tmp_path, hosts=["flows.example"])
    alone = plan_broker(tmp_path, port=19_092, log=tmp_path / "log")
    plan = with_network(alone, Network("flows.example", 19_094), tls)

    told = dict(line.split("=", 1) for line in server_properties(plan, plan.data).splitlines())

    assert told["listeners"].split(",") == [
        "PLAINTEXT://127.0.0.1:19092", "CONTROLLER://0.0.0.0:19095", "NETWORK://0.0.0.0:19094"
    ]  # fmt: skip
    assert told["advertised.listeners"].split(",")[1:] == [
        "CONTROLLER://flows.example:19095", "NETWORK://flows.example:19094"
    ]  # fmt: skip
    assert "CONTROLLER:SSL" in told["listener.security.protocol.map"]
    assert told["inter.broker.listener.name"] == "NETWORK"
    assert told["controller.quorum.bootstrap.servers"] == "flows.example:19095"
    for listener in ("network", "controller"):
        assert told[f"listener.name.{listener}.ssl.client.auth"] == "required"
    assert with_network(plan, None, tls) == alone


class Launcher:
    """A watch over a child that stands in for the broker."""

    def __init__(self, home: Path, *, works: bool) -> None:
        self.home = home
        self.said: list[str] = []
        self.supervisor = Supervisor(changed=lambda: None, say=self.said.append)
        self.plan = plan_broker(home, port=free_port(row=2), log=home / "log")
        self.watch = NetworkWatch(
            home, None, broker=self.plan, child_of=self.child_of, supervisor=self.supervisor,
            changed=lambda: None, say=self.said.append, meanwhile=self.meanwhile,
            closed=lambda: self.meanwhiles.append("closed"),
        )  # fmt: skip
        self.works = works
        self.meanwhiles: list[str] = []

    @asynccontextmanager
    async def meanwhile(self) -> AsyncIterator[None]:
        self.meanwhiles.append("begun")
        try:
            yield
        finally:
            assert self.supervisor.pid("broker"), "it ends when a broker runs again, new or old"
            self.meanwhiles.append("ended")

    def child_of(self, plan: BrokerPlan) -> ChildPlan:
        network = plan.network
        is_broken = network is not None and (not self.works or network.host == "gone.example")
        program = "raise SystemExit('no room')" if is_broken else SLEEP

        async def ready() -> bool:
            return not is_broken

        return ChildPlan(
            "broker", [sys.executable, "-c", program], self.home / "log", ready, environment={}
        )

    async def noted(self, network: Network) -> dict[str, object]:
        """Enable, and return what the launcher noted once it is through."""
        before = self.watch.noted["refusals"]
        write_network(network_file(self.home), network)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                noted = self.watch.noted
                is_open = noted["wanted"] == asdict(network) and noted["is_open"]
                if is_open or noted["refusals"] != before:
                    return noted
                await asyncio.sleep(0.01)


@asynccontextmanager
async def launcher(home: Path, *, works: bool = True) -> AsyncIterator[Launcher]:
    prepare_tls(home)
    launcher = Launcher(home, works=works)
    await launcher.supervisor.start(launcher.child_of(launcher.plan))
    watching = asyncio.create_task(launcher.watch.run())
    try:
        yield launcher
    finally:
        await end_task(watching)
        await launcher.supervisor.stop()


async def test_enabling_restarts_the_broker_once(tmp_path: Path) -> None:
    async with launcher(tmp_path) as one:
        pid = one.supervisor.pid("broker")
        network = Network("localhost", free_port(), bind="127.0.0.1")

        assert (await one.noted(network))["is_open"]
        moved = one.supervisor.pid("broker")
        assert moved not in (None, pid)
        # Written again as it is, it changes nothing.
        assert (await one.noted(network))["is_open"]
        assert one.supervisor.pid("broker") == moved
        assert "NETWORK://localhost" in one.plan.properties.read_text()
        assert one.meanwhiles == ["begun", "ended"]


async def test_services_are_told_once_the_broker_runs_for_this_machine_only(tmp_path: Path) -> None:
    network = Network("localhost", free_port(row=2), {}, "127.0.0.1")
    async with launcher(tmp_path) as started:
        await started.noted(network)
        assert started.meanwhiles == ["begun", "ended"]

        network_file(tmp_path).unlink()
        async with asyncio.timeout(DEADLINE_S):
            while started.watch.noted["wanted"] is not None or not started.watch.noted["is_open"]:
                await asyncio.sleep(0.01)

        assert started.meanwhiles == ["begun", "ended", "closed"]


async def test_a_broker_that_does_not_start_so_is_started_as_it_was(tmp_path: Path) -> None:
    network = Network("localhost", free_port(), bind="127.0.0.1")
    async with launcher(tmp_path, works=False) as one:
        noted = await one.noted(network)

        assert (noted["wanted"], noted["is_open"]) == (None, True)
        assert noted["refused"] == asdict(network)
        assert "broker ended while it started: no room" in str(noted["problem"])
        assert read_standing(network_file(tmp_path)).problem == noted["problem"]
        assert "NETWORK" not in one.plan.properties.read_text()
        assert one.supervisor.pid("broker")
        assert one.meanwhiles == ["begun", "ended"]
        # The next start would fail by it.
        assert not network_file(tmp_path).exists()

        # The same again is tried again, whether it fails or not.
        assert (await one.noted(network))["refusals"] == 2
        one.works = True
        noted = await one.noted(network)
        assert (noted["wanted"], noted["problem"]) == (asdict(network), "")
        assert one.meanwhiles == ["begun", "ended"] * 3


async def test_what_was_open_stays_so_at_the_next_start_too(tmp_path: Path) -> None:
    file = network_file(tmp_path)
    network = Network("flows.example", free_port(row=2), {}, "127.0.0.1")
    async with launcher(tmp_path) as one:
        assert (await one.noted(network))["is_open"]
        certificate = TlsFiles.in_directory(tls_dir(tmp_path)).certificate

        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for refused in (
                Network("gone.example", network.kafka_port, {}, "127.0.0.1"),
                Network("other.example", port, {}, "127.0.0.1"),
            ):
                noted = await one.noted(refused)
                assert noted["refused"] == asdict(refused)
                assert (noted["wanted"], noted["is_open"]) == (asdict(network), True)
                assert read_network(file) == network
                names = x509.load_pem_x509_certificate(certificate.read_bytes())
                assert b"flows.example" in names.public_bytes(Encoding.DER)
        assert "NETWORK://flows.example" in one.plan.properties.read_text()

        # Asked for again, what is open is no problem any more.
        write_network(file, network)
        async with asyncio.timeout(DEADLINE_S):
            while one.watch.noted["problem"]:
                await asyncio.sleep(0.01)


def test_only_what_was_refused_since_is_told() -> None:
    network, other = Network("flows.example", 19_094), Network("other.example", 19_094)
    facts = {
        "network": {"refused": asdict(network), "refusals": 2, "problem": "no such name"},
    }
    assert refusals(facts) == 2
    with pytest.raises(NetworkError, match="no such name"):
        check_refused(facts, network, before=1)
    check_refused(facts, network, before=2)
    check_refused(facts, other, before=1)
    check_refused(facts, None, before=1)
    older: list[dict[str, object] | None] = [None, {}, {"network": {}}]
    for unknown in older:
        check_refused(unknown, network, before=refusals(unknown))


async def test_a_taken_port_or_an_impossible_name_restarts_nothing(tmp_path: Path) -> None:
    async with launcher(tmp_path) as one:
        pid = one.supervisor.pid("broker")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            noted = await one.noted(Network("localhost", port, bind="127.0.0.1"))
        assert f"port {port} of 127.0.0.1 is taken" in str(noted["problem"])
        noted = await one.noted(Network("a b", free_port(), bind="127.0.0.1"))
        assert "is no host name" in str(noted["problem"])
        assert one.supervisor.pid("broker") == pid
        assert pid is not None
        os.kill(pid, 0)


async def test_a_wish_is_taken_once_and_what_comes_of_it_is_said(tmp_path: Path) -> None:
    file = network_file(tmp_path)
    asked: list[Wish] = []

    def plan(wish: Wish) -> Network:
        asked.append(wish)
        if wish.kafka_port == 1:
            raise PortTaken("TCP port 1 is taken")
        return Network(wish.host, wish.kafka_port, {}, wish.bind)

    def no_child(plan: BrokerPlan) -> ChildPlan:
        raise AssertionError("no broker is ours")

    watch = NetworkWatch(
        tmp_path,
        None,
        broker=None,
        child_of=no_child,
        supervisor=Supervisor(changed=lambda: None, say=lambda text: None),
        changed=lambda: None,
        say=lambda text: None,
        plan=plan,
    )
    running = asyncio.create_task(watch.run())
    refused = Standing(problem="TCP port 1 is taken")
    try:
        async with asyncio.timeout(DEADLINE_S):
            leave_wish(file, Wish("flows.example", kafka_port=1))
            while read_standing(file) != refused:
                await asyncio.sleep(0.01)
            assert read_network(file) is None

            leave_wish(file, Wish("flows.example", kafka_port=2))
            while read_network(file) is None or read_standing(file) != Standing():
                await asyncio.sleep(0.01)
    finally:
        await end_task(running)
    assert [wish.kafka_port for wish in asked] == [1, 2]
    assert not has_wish(file)
