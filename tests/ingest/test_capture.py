import io
import json
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from services.ingest.decode.capture import main
from shared.flow_record import COLUMNS
from tests.ingest.scenarios import CAPTURES, answer, needs_captures, scenario_names
from tests.ingest.test_decoding import PORTS, set_of, v5, v9

EXPORTER = bytes([192, 0, 2, 7])


def pcap(*payloads: bytes) -> bytes:
    found = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101)
    for index, payload in enumerate(payloads):
        udp = struct.pack(">HHHH", 4000, 2055, 8 + len(payload), 0) + payload
        ip = struct.pack(">BBHIBBH", 0x45, 0, 20 + len(udp), 0, 64, 17, 0) + EXPORTER * 2 + udp
        found += struct.pack("<IIII", 1_790_000_000, index * 1000, len(ip), len(ip)) + ip
    return found


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    data = set_of(256, struct.pack(">HH", 1, 2))
    path = tmp_path / "lab.pcap"
    path.write_bytes(pcap(v9(data), v5(2), v9(set_of(0, PORTS), data), b"\0\1junk", v9(data)))
    return path


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_one_object_per_record_in_wire_order(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([str(capture), "--jsonl"]) == 0
    rows = lines(capsys.readouterr().out)
    assert [row["datagram"] for row in rows] == [2, 2, 3, 3, 5]
    assert [row["export_version"] for row in rows] == [5, 5, 9, 9, 9]
    assert all(list(row) == [column.name for column in COLUMNS] for row in rows)
    first, third = rows[0], rows[2]
    assert first["src_addr"] == "0.1.2.3"
    assert first["next_hop"] == "8.9.10.11"
    assert first["exporter"] == "192.0.2.7"
    assert first["received_at"] == "2026-09-21T14:13:20.001Z"
    assert first["sampling_rate"] is None
    assert third["src_addr"] is None
    assert third["started_at"] is None
    assert third["direction"] is None
    assert third["src_mac"] is None


def test_the_summary_has_every_exporter(capture: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(capture), "--summary", "--json"]) == 0
    counts = json.loads(capsys.readouterr().out)
    assert (counts["frames"], counts["datagrams"], counts["flows"]) == (5, 5, 5)
    (exporter,) = counts["exporters"]
    assert exporter == {
        "exporter": "192.0.2.7",
        "datagrams": 5,
        "flows": 5,
        "templates": 1,
        "options_records": 0,
        "waiting_sets": 1,
        "undecoded_sets": 0,
        "malformed": {"unknown_version": 1},
        "ignored": [],
    }
    assert main([str(capture), "--summary"]) == 0
    assert "unknown_version 1" in capsys.readouterr().out


def test_a_template_that_never_comes_is_an_undecoded_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "late.pcap"
    path.write_bytes(pcap(v9(set_of(256, b"\0\1\0\2"))))
    assert main([str(path), "--summary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["exporters"][0]["undecoded_sets"] == 1


def test_a_truncated_capture_prints_what_is_whole_and_fails(
    capture: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capture.write_bytes(capture.read_bytes()[:-2])
    assert main([str(capture)]) == 1
    out, err = capsys.readouterr()
    assert len(lines(out)) == 4
    assert err.count("\n") == 1
    assert "truncated" in err


@pytest.mark.parametrize("content", [b"#!/bin/sh\nexit\n", b"", None])
def test_a_foreign_or_missing_file_is_one_sentence(
    tmp_path: Path, content: bytes | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "strange"
    if content is not None:
        path.write_bytes(content)
    assert main([str(path)]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert str(path) in err


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "many.pcap"
    path.write_bytes(pcap(*[v5(30)] * 300))
    command = [sys.executable, "-m", "services.ingest.decode.capture", str(path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    with process.stdout, process.stderr:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.wait(60) == 0


@needs_captures
def test_every_scenario_can_be_decoded(capsys: pytest.CaptureFixture[str]) -> None:
    for path in sorted((CAPTURES / "scenarios").glob("*.pcap")):
        assert main([str(path)]) == 0, path.name
        assert main([str(path), "--summary"]) == 0, path.name
    assert capsys.readouterr().err == ""


# Upstream counts what it keeps, or decodes only part of what is there (docs of the captures).
OTHER_COUNTS = {
    "graylog__softflowd_netflow9",
    "graylog__v5_1",
    "graylog__nprobe_netflow9_4",
}


def test_bytes_io_is_enough_for_a_capture() -> None:
    from shared.pcap import Capture

    assert len(list(Capture(io.BytesIO(pcap(v5()))))) == 1


@needs_captures
@pytest.mark.parametrize(
    "name",
    [name for name in scenario_names("expected") if name.startswith("graylog")],
)
def test_as_many_flows_as_upstream_says(name: str) -> None:
    from tests.ingest.scenarios import decode

    expected = answer("expected", name)
    if "record_count" not in expected or name in OTHER_COUNTS:
        return
    decoded = decode(name)
    options = sum(seen.options_records for seen in decoded.seen)
    assert expected["record_count"] in (decoded.rows, decoded.rows + options)
