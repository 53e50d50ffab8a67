import json
import socket
import struct
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.pacing import Pacer
from cli.replay import AsCaptured, AtRate, replay

ETHERNET = 1


def capture(datagrams: list[tuple[float, str, bytes]]) -> bytes:
    """Return a pcap of UDP datagrams: (seconds, source address, payload)."""
    out = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, ETHERNET)
    for seconds, source, payload in datagrams:
        udp = struct.pack("!HHHH", 4000, 2055, 8 + len(payload), 0) + payload
        addresses = socket.inet_aton(source) + socket.inet_aton("192.0.2.99")
        ip = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(udp), 1, 0, 64, 17, 0) + addresses
        frame = b"\x02" * 6 + b"\x04" * 6 + b"\x08\x00" + ip + udp
        whole, part = divmod(seconds, 1)
        out += struct.pack("<IIII", int(whole), round(part * 1e6), len(frame), len(frame)) + frame
    return out


def run(*arguments: str) -> tuple[int, str, str]:
    app = typer.Typer()
    app.command()(replay)
    result = CliRunner().invoke(app, list(arguments))
    return result.exit_code, result.stdout, result.stderr


THREE = [(1.0, "192.0.2.1", b"one"), (1.1, "192.0.2.2", b"two"), (1.2, "192.0.2.1", b"three")]


def test_each_exporter_of_a_capture_has_its_own_loopback_address(tmp_path: Path) -> None:
    file = tmp_path / "three.pcap"
    file.write_bytes(capture(THREE))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        target = f"127.0.0.1:{collector.getsockname()[1]}"

        code, output, _ = run(str(file), "--to", target, "--json")

        received = [collector.recvfrom(100) for _ in range(3)]
    assert code == 0
    assert [(payload, address[0]) for payload, address in received] == [
        (b"one", "127.0.2.1"),
        (b"two", "127.0.2.2"),
        (b"three", "127.0.2.1"),
    ]
    said = json.loads(output)
    assert said["datagrams"] == 3
    assert said["exporters"]["192.0.2.2"] == {"sent_from": "127.0.2.2", "datagrams": 1}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (capture(THREE)[:-5], "truncated"),
        (b"#!/bin/sh\necho no capture\n", "neither pcap nor pcapng"),
        (b"", "too short"),
    ],
)
def test_a_foreign_or_cut_file_is_one_sentence(tmp_path: Path, content: bytes, says: str) -> None:
    file = tmp_path / "bad.pcap"
    file.write_bytes(content)

    code, _, error = run(str(file), "--to", "127.0.0.1:9")

    assert code == 1
    assert says in error
    assert len(error.strip().splitlines()) == 1


def test_a_missing_file_is_one_sentence() -> None:
    code, _, error = run("/nowhere/none.pcap", "--to", "127.0.0.1:9")

    assert (code, len(error.strip().splitlines())) == (1, 1)


def test_speed_and_rate_exclude_each_other(tmp_path: Path) -> None:
    code, _, _ = run(str(tmp_path), "--speed", "2", "--rate", "2")

    assert code == 2


def test_the_gaps_of_a_capture_are_kept_and_divided() -> None:
    schedule = AsCaptured(speed=2.0)

    waits = [schedule.wait_s(ms, 0.0) for ms in (5000, 6000, 5500, 6500)]

    # A step back in the capture's time is no gap; waits are since the start.
    assert waits == [0.0, 0.5, 0.5, 1.0]


def test_a_rate_spaces_datagrams() -> None:
    schedule = AtRate(Pacer(rate=10.0, burst_s=0.1))
    elapsed_s = 0.0
    for _ in range(20):
        elapsed_s += schedule.wait_s(0, elapsed_s)

    assert elapsed_s == pytest.approx(2.0, abs=0.2)
