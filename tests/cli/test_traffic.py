import json
import socket
import struct
from datetime import UTC, datetime

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from cli.export import VERSIONS, Datagram, Templates, Version, make_exporters, start_exporters
from cli.generate import busyness, make_flows, make_world
from cli.pacing import Pacer, settle, split
from cli.sending import TargetError, loopback_address, parse_target
from cli.traffic import traffic
from services.ingest.decode.decoding import Decoded, DecoderState, RangeBuilder
from shared.addresses import pack_address

NOW_MS = int(datetime(2026, 3, 2, 14, 30, tzinfo=UTC).timestamp() * 1000)


def exported(
    version: Version, batches: int = 3, templates: Templates = "periodic", seed: int = 1
) -> list[Datagram]:
    """Return what one exporter of `version` sends in `batches` batches, 1 s apart."""
    (process,) = start_exporters(
        make_exporters(1, [version], seed=seed, now_ms=NOW_MS), seed=seed, templates=templates
    )
    datagrams: list[Datagram] = []
    for batch in range(batches):
        datagrams += process.export(50 + batch, NOW_MS + batch * 1000, 14.5)
    return datagrams


def decoded(datagrams: list[Datagram]) -> Decoded:
    builder = RangeBuilder(DecoderState(), collector="test/0", stream=1)
    exporter = pack_address("127.0.1.1")
    for number, datagram in enumerate(datagrams, 1):
        builder.add(number, NOW_MS, exporter, 4000, datagram.payload)
    return builder.finish()


@pytest.mark.parametrize("version", VERSIONS)
def test_our_decoder_reads_what_an_exporter_says_it_sent(version: Version) -> None:
    datagrams = exported(version)

    found = decoded(datagrams)

    assert found.losses == ()
    assert found.batch is not None
    assert found.rows == sum(d.flows for d in datagrams) == 153
    columns = found.batch.to_pydict()
    assert sum(columns["bytes"]) == sum(d.bytes for d in datagrams)
    assert sum(columns["packets"]) == sum(d.packets for d in datagrams)
    assert set(columns["export_version"]) == {{"v5": 5, "v9": 9, "ipfix": 10}[version]}
    assert all(
        start <= end for start, end in zip(columns["started_at"], columns["ended_at"], strict=True)
    )
    latest = datetime.fromtimestamp(NOW_MS / 1000 + 3, UTC)
    assert all(end <= latest for end in columns["ended_at"])


@pytest.mark.parametrize("version", VERSIONS)
def test_sequence_numbers_count_what_the_version_counts(version: Version) -> None:
    expected = 0
    for datagram in exported(version):
        payload = datagram.payload
        if version == "v5":
            assert struct.unpack_from("!I", payload, 16)[0] == expected
            expected += datagram.flows  # NetFlow v5 counts flows,
        elif version == "v9":
            assert struct.unpack_from("!I", payload, 12)[0] == expected
            expected += 1  # v9 datagrams,
        else:
            assert struct.unpack_from("!I", payload, 8)[0] == expected
            expected += datagram.flows  # IPFIX data records.


@pytest.mark.parametrize(
    ("templates", "at_least", "at_most"), [("once", 1, 1), ("periodic", 2, 20)]
)
def test_templates_go_first_and_again_as_asked(
    templates: Templates, at_least: int, at_most: int
) -> None:
    datagrams = exported("v9", batches=120, templates=templates)

    is_template = [datagram.flows == 0 for datagram in datagrams]

    assert is_template[0]
    assert at_least <= sum(is_template) <= at_most


def test_a_datagram_never_exceeds_an_ethernet_frame() -> None:
    for version in VERSIONS:
        assert max(len(d.payload) for d in exported(version)) <= 1472


def test_the_same_seed_sends_the_same_bytes() -> None:
    assert exported("ipfix", seed=7) == exported("ipfix", seed=7)
    assert exported("ipfix", seed=7) != exported("ipfix", seed=8)


def test_a_few_hosts_carry_much_of_the_traffic() -> None:
    flows = make_flows(
        make_world(1), np.random.default_rng(1), 20_000, hour=14, interfaces=10, v6=0.0
    )
    _, counts = np.unique(np.concatenate([flows["src"], flows["dst"]]), return_counts=True)

    top_hundred = np.sort(counts)[-100:].sum()

    assert top_hundred > 0.4 * counts.sum()


def test_the_afternoon_is_busier_than_the_night() -> None:
    world = make_world(1)
    day, night = (
        make_flows(world, np.random.default_rng(1), 20_000, hour=hour, interfaces=10, v6=0.0)
        for hour in (15.0, 3.0)
    )

    assert busyness(15.0) == pytest.approx(1.0)
    assert busyness(3.0) == pytest.approx(0.3)
    assert day["packets"].mean() > night["packets"].mean()


def test_a_pacer_gives_its_rate_and_forgoes_what_a_stall_missed() -> None:
    pacer = Pacer(rate=100.0, burst_s=1.0)

    assert sum(pacer.take(step / 10) for step in range(1, 11)) == 100
    assert pacer.take(60.0) == 100


def test_shares_settle_to_the_exact_sum() -> None:
    debts = [0.0, 0.0, 0.0]
    for _ in range(10):
        split(debts, 7, [0.5, 0.3, 0.2])

    assert sum(settle(debts)) == 70


def test_exporters_have_loopback_addresses_of_their_own() -> None:
    addresses = [loopback_address(number, first="127.0.1.1") for number in range(600)]

    assert addresses[0] == "127.0.1.1"
    assert len(set(addresses)) == 600
    with pytest.raises(TargetError):
        loopback_address(600, first="127.255.255.1")
    with pytest.raises(TargetError):
        loopback_address(0, first="192.0.2.1")


@pytest.mark.parametrize("text", ["127.0.0.1", ":2055", "127.0.0.1:0", "127.0.0.1:99999", "x"])
def test_a_target_that_is_none_is_refused_in_one_sentence(text: str) -> None:
    with pytest.raises(TargetError, match=r"^--to .*\.$"):
        parse_target(text)


def app() -> typer.Typer:
    made = typer.Typer()
    made.command()(traffic)
    return made


def test_the_command_sends_what_it_says() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        collector.bind(("127.0.0.1", 0))
        collector.setblocking(False)
        port = collector.getsockname()[1]
        options = ["--rate", "600", "--duration", "0.3", "--exporters", "4", "--json"]

        result = CliRunner().invoke(app(), ["--to", f"127.0.0.1:{port}", *options])

        received: dict[str, int] = {}
        while True:
            try:
                _, (address, _) = collector.recvfrom(65535)
            except BlockingIOError:
                break
            received[address] = received.get(address, 0) + 1
    assert result.exit_code == 0
    sent = json.loads(result.stdout)
    assert {a: e["datagrams"] for a, e in sent["exporters"].items()} == received
    assert sent["flows"] == sum(e["flows"] for e in sent["exporters"].values()) == 180
    assert sent["bytes"] == sum(e["bytes"] for e in sent["exporters"].values())


def test_traffic_to_somewhere_else_is_refused() -> None:
    result = CliRunner().invoke(app(), ["--to", "192.0.2.1:2055", "--duration", "1"])

    assert result.exit_code == 2
    assert "loopback" in result.stderr
