"""Real exporters that nobody here wrote, and the captures of other projects, through everything.

What both centrals say per exporter must be what was sent, known from the packets the exporters
read, and for captures from our own decoder over the same file.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from cli.pacing import Pacer
from cli.replay import AtRate, Replayed, send_capture
from cli.sending import Target, loopback_address
from services.ingest.decode.decoding import DecoderState, RangeBuilder
from shared.addresses import format_address, pack_address
from shared.pcap import Capture
from tests.e2e.exporters import nfprobe, softflowd
from tests.e2e.packets import Truth, write_capture
from tests.faults.system import ROOT, System, running
from tests.waiting import wait_until

CONVERSATIONS = 700
DEADLINE_S = 180
# Far below what a burst needs, so that no kernel buffer anywhere decides a test.
DATAGRAMS_PER_S = 500


@dataclass(frozen=True, slots=True)
class Source:
    """One exporter run: its program, version, loopback address in the system, and the truth."""

    name: str
    address: str
    version: int
    truth: Truth
    datagrams: tuple[bytes, ...]


RUNS: tuple[tuple[str, Callable[[Path, int], list[bytes]], int], ...] = tuple(
    (f"{name} {version}", program, version)
    for name, program in (("softflowd", softflowd), ("nfprobe", nfprobe))
    for version in (5, 9, 10)
)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Source]:
    """Every program and version over one capture; NetFlow v5 has no IPv6, so it reads another."""
    folder = tmp_path_factory.mktemp("exporters")
    both, v4_only = folder / "both.pcap", folder / "v4.pcap"
    truths = {
        both: write_capture(both, conversations=CONVERSATIONS, seed=3, with_v6=True),
        v4_only: write_capture(v4_only, conversations=CONVERSATIONS, seed=3, with_v6=False),
    }
    found = []
    for number, (name, program, version) in enumerate(RUNS, 1):
        capture = v4_only if version == 5 else both
        datagrams = tuple(program(capture, version))
        found.append(Source(name, f"127.0.4.{number}", version, truths[capture], datagrams))
    return found


@pytest.mark.parametrize("number", range(len(RUNS)), ids=[name for name, _, _ in RUNS])
def test_the_decoder_reads_what_a_real_exporter_saw(sources: list[Source], number: int) -> None:
    source = sources[number]
    builder = RangeBuilder(DecoderState(), collector="test/0", stream=1)
    exporter = pack_address(source.address)
    for position, payload in enumerate(source.datagrams, 1):
        builder.add(position, 1_800_000_000_000, exporter, 4000, payload)

    decoded = builder.finish()

    assert decoded.losses == ()
    assert decoded.batch is not None
    rows = decoded.batch.to_pydict()
    assert (
        Truth(
            flows=decoded.rows,
            packets=sum(rows["packets"]),
            bytes=sum(rows["bytes"]),
        )
        == source.truth
    )
    assert set(rows["export_version"]) == {source.version}


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    with running(tmp_path_factory.mktemp("system")) as system:
        yield system


def exporters_of(system: System, central: str) -> dict[str, dict[str, int]]:
    """Return flows, bytes and packets by exporter address, as one central says."""
    now = datetime.now(UTC)
    answer = system.ask(
        central,
        "/api/v1/exporters",
        **{
            "from": (now - timedelta(hours=2)).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "to": (now + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ"),
        },
    )
    rows: list[dict[str, Any]] = answer["rows"] if answer else []
    return {
        row["exporter"]: {name: row[name] for name in ("flows", "bytes", "packets")} for row in rows
    }


def wait_for(system: System, expected: dict[str, dict[str, int]]) -> None:
    """Wait until both centrals say `expected` of these exporters; show the difference if not."""
    for central in ("central-a", "central-b"):

        def say_so(central: str = central) -> bool:
            said = exporters_of(system, central)
            return {address: said.get(address) for address in expected} == expected

        try:
            wait_until(say_so, central, DEADLINE_S, 0.5)
        except AssertionError:
            said = exporters_of(system, central)
            assert {address: said.get(address) for address in expected} == expected


def send(datagrams: Sequence[bytes], *, source: str, port: int) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind((source, 0))
        for payload in datagrams:
            sender.sendto(payload, ("127.0.0.1", port))
            time.sleep(1 / DATAGRAMS_PER_S)


@pytest.mark.kafka
@pytest.mark.slow
def test_both_centrals_count_what_real_exporters_sent(
    system: System, sources: list[Source]
) -> None:
    for source in sources:
        send(source.datagrams, source=source.address, port=system.udp_port)

    wait_for(
        system,
        {
            source.address: {
                "flows": source.truth.flows,
                "bytes": source.truth.bytes,
                "packets": source.truth.packets,
            }
            for source in sources
        },
    )


@pytest.mark.kafka
@pytest.mark.slow
def test_both_centrals_count_what_generated_traffic_says_it_sent(system: System) -> None:
    said = json.loads(
        system.run(
            "traffic", "--to", f"127.0.0.1:{system.udp_port}", "--rate", "1500",
            "--duration", "4", "--exporters", "9", "--json",
        ).stdout
    )  # fmt: skip

    assert {exporter["version"] for exporter in said["exporters"].values()} == {
        "v5", "v9", "ipfix",
    }  # fmt: skip
    wait_for(
        system,
        {
            address: {name: exporter[name] for name in ("flows", "bytes", "packets")}
            for address, exporter in said["exporters"].items()
        },
    )


def captures() -> list[Path]:
    shared = Path(os.environ.get("STEADFLOW_SHARED", str(ROOT.parent / "shared")))
    found = sorted((shared / "captures" / "scenarios").glob("*.pcap"))
    if not found:
        pytest.skip("no captures: set STEADFLOW_SHARED to the folder that has them")
    return found


def decoded_totals(file: Path, first_source: str) -> dict[str, dict[str, int]]:
    """Return flows, bytes and packets by the address an exporter is replayed from."""
    builder = RangeBuilder(DecoderState(), collector="test/0", stream=1)
    sources: dict[bytes, str] = {}
    with file.open("rb") as stream:
        for number, datagram in enumerate(Capture(stream), 1):
            if datagram.source not in sources:
                sources[datagram.source] = loopback_address(len(sources), first=first_source)
            exporter = pack_address(sources[datagram.source])
            builder.add(number, 1_800_000_000_000, exporter, 4000, datagram.payload)
    batch = builder.finish().batch
    if batch is None:
        return {}
    rows = batch.to_pydict()
    # A column that no record has is not there: some event records carry no bytes.
    absent = [0] * batch.num_rows
    totals: dict[str, dict[str, int]] = {}
    for packed, octets, packets in zip(
        rows["exporter"], rows.get("bytes", absent), rows.get("packets", absent), strict=True
    ):
        total = totals.setdefault(format_address(packed), {"flows": 0, "bytes": 0, "packets": 0})
        total["flows"] += 1
        total["bytes"] += octets
        total["packets"] += packets
    return totals


@pytest.mark.kafka
@pytest.mark.slow
def test_both_centrals_count_the_captures_of_other_projects(system: System) -> None:
    expected: dict[str, dict[str, int]] = {}
    target = Target("127.0.0.1", system.udp_port)
    for number, file in enumerate(captures()):
        # Addresses of its own for each file: many were taken from 127.0.0.1.
        first = f"127.1.{number}.1"
        replayed = Replayed(first_source=first)
        with file.open("rb") as stream:
            pacer = AtRate(Pacer(DATAGRAMS_PER_S, burst_s=0.1))
            send_capture(stream, file.stat().st_size, target, pacer, replayed)
        expected |= decoded_totals(file, first)

    assert len(expected) > 50
    wait_for(system, expected)
