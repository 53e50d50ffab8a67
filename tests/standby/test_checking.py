"""The checks as a whole: the way back and Kafka's answers, before a join and after."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from cli.ports import free_port
from services.central.answers import Json
from services.standby import measuring
from services.standby.config import StandbyConfig
from services.standby.once import look
from services.standby.preflight import Light, Line
from shared.http import http_server, listen
from shared.invite_token import InviteToken
from shared.kafka import Brokers
from shared.this_machine import this_machine
from shared.tls import fingerprint
from tests.central import test_machines
from tests.central.test_machines import OPEN, TOKEN
from tests.standby.small_centrals import Cluster, SmallCentral, running
from tests.standby.small_primary import SmallPrimary
from tests.tls_nodes import authority_in, make_node

pytestmark = pytest.mark.usefixtures("measured")
BACK, TRIP = "reach from the primary", "Kafka's round trip"
UNKNOWN = "no-such-host.invalid"
DEADLINE_S = 60


@dataclass(frozen=True, slots=True)
class Here:
    """The ports of a machine that joins, on which nothing listens yet."""

    https: int
    kafka: int

    def config(self, home: Path, host: str, primary: str) -> StandbyConfig:
        return StandbyConfig(
            home=home, name="central-d", primary=primary, hosts=f"{host},localhost",
            https_port=self.https, kafka_port=self.kafka, central_url="http://127.0.0.1:1",
        )  # fmt: skip


@pytest.fixture
def here() -> Here:
    return Here(free_port(), free_port(row=2))


@contextlib.contextmanager
def nothing(ports: Sequence[int]) -> Iterator[None]:
    """Stand in for `measuring.answering`."""
    yield


def one(lines: Sequence[Line], check: str) -> Line:
    (found,) = [line for line in lines if line.check == check]
    return found


async def joined(
    cluster: Cluster, here: Here, *, host: str = "localhost", has_broker: bool = True
) -> Sequence[Line]:
    """Check a machine that joined a Kafka of steadflow's, or another one."""
    given = cluster.home / "given.json"
    kafka = {"kafka": {"number": 7} if has_broker else None}
    given.write_text(json.dumps(json.loads(given.read_text()) | kafka))
    config = here.config(cluster.home, host, cluster.centrals[0].url)
    return (await cluster.steps(config).check()).lines


@pytest.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    central = SmallCentral("central-a", SmallPrimary({}), epoch=1, tries=True)
    async with running(tmp_path, central) as made:
        made.tell(central, brokers="127.0.0.1:1")
        yield made


async def test_a_joined_machine_is_tried_by_its_name_and_its_brokers_ports(
    cluster: Cluster, here: Here
) -> None:
    assert one(await joined(cluster, here), BACK).light is Light.GREEN
    assert one(await joined(cluster, here, has_broker=False), BACK).light is Light.GREEN

    ports = [here.https, here.kafka, here.kafka + 1]
    assert cluster.centrals[0].tried == [(ports, "localhost"), (ports[:1], "localhost")]


async def test_a_closed_port_of_the_broker_is_red(
    cluster: Cluster, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    answering = measuring.answering
    for closed in (here.kafka, here.kafka + 1):
        shut = {closed}
        monkeypatch.setattr(
            measuring, "answering", lambda ports, shut=shut: answering([*{*ports} - shut])
        )
        line = one(await joined(cluster, here), BACK)
        assert line.light is Light.RED
        assert line.found.startswith(f"127.0.0.1:{closed}: ")


async def test_a_name_that_the_primary_does_not_know_is_red(cluster: Cluster, here: Here) -> None:
    line = one(await joined(cluster, here, host=UNKNOWN), BACK)

    said = f"the name {UNKNOWN} is not known on the primary"
    assert (line.light, line.found) == (Light.RED, said)


async def test_an_address_that_could_not_be_tried_is_amber(cluster: Cluster, here: Here) -> None:
    line = one(await joined(cluster, here, host="192.0.2.7"), BACK)

    assert line.light is Light.AMBER
    assert line.found == (
        "192.0.2.7 could not be tried from the primary: this machine asks from 127.0.0.1"
    )


async def test_a_slow_kafka_behind_a_fast_connection_is_red(
    cluster: Cluster, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as fast:
        address = f"127.0.0.1:{fast.getsockname()[1]}"
        cluster.tell(cluster.centrals[0], brokers=address)
        lines = await joined(cluster, here)
        assert one(lines, TRIP).light is one(lines, "reach from here").light is Light.GREEN

        async def slow(brokers: Brokers, own_hosts: Sequence[str]) -> float:
            assert "localhost" in own_hosts
            return 1_500.0

        monkeypatch.setattr(measuring, "kafka_round_trip_ms", slow)
        lines = await joined(cluster, here)
        assert one(lines, TRIP).light is Light.RED
        assert one(lines, "reach from here").light is Light.GREEN


class Primary(test_machines.Central):
    """One that says enough of itself for a check before a join."""

    async def node(self) -> Json:
        return {
            "machine": this_machine(Path("/"), now_ms=0).to_json(),
            "store_bytes": 1,
            "flows_per_s": 1.0,
        }


@contextlib.asynccontextmanager
async def inviting(folder: Path, central: Primary) -> AsyncIterator[tuple[str, Path]]:
    """A primary over HTTPS; its URL, and a file with the token of an invite."""
    authority = authority_in(folder / "authority")
    server = http_server(central.app, stop_s=1, tls=make_node(authority, folder / "a"))
    invite = folder / "invite"
    invite.write_text(str(InviteToken(TOKEN.invite, TOKEN.secret, fingerprint(
        authority.certificate_pem
    ))))  # fmt: skip
    with listen("127.0.0.1", 0) as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        async with asyncio.timeout(DEADLINE_S):
            while not server.started:
                await asyncio.sleep(0.01)
        try:
            yield f"https://localhost:{listener.getsockname()[1]}", invite
        finally:
            server.should_exit = True
            await serving


async def test_before_a_join_name_and_brokers_ports_are_tried_and_kafka_is_only_connected_to(
    tmp_path: Path, here: Here, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as kafka:
        address = f"127.0.0.1:{kafka.getsockname()[1]}"
        central = Primary(invites=[OPEN], kafka=address)
        async with inviting(tmp_path, central) as (url, invite):

            async def preview(host: str = "localhost") -> Sequence[Line]:
                config = here.config(tmp_path / "home", host, url)
                return await look(config.model_copy(update={"invite_file": invite}))

            lines = await preview()
            assert one(lines, BACK).light is Light.GREEN
            assert one(lines, TRIP).light is Light.GREEN
            assert one(lines, TRIP).found.endswith(
                "ms to connect; Kafka itself is asked once this machine has a certificate"
            )
            assert one(await preview(UNKNOWN), BACK).light is Light.RED

            monkeypatch.setattr(measuring, "answering", nothing)
            closed = one(await preview(), BACK).found
            ports = (here.https, here.kafka, here.kafka + 1)
            assert [f"127.0.0.1:{port}: " in closed for port in ports] == [True] * 3
            # Where Kafka is the user's own no broker will run here.
            central.gives_brokers = False
            closed = one(await preview(), BACK).found
            assert [f"127.0.0.1:{port}: " in closed for port in ports] == [True, False, False]
