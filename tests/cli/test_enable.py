"""`steadflow standby enable` where nothing runs: it only says what the next start opens."""

import json
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.__main__ import app
from cli.own_certificate import VARIABLE, note_own_certificate
from cli.ports import free_port
from shared.tls import HTTPS_CA, TlsError
from tests.tls_nodes import authority_in, make_node

RUNNER = CliRunner()


def enable(home: Path, *arguments: str) -> tuple[int, str]:
    given = ["standby", "enable", "--home", str(home), "--bind", "127.0.0.1", *arguments]
    done = RUNNER.invoke(app, given)
    assert "Traceback" not in done.output
    return done.exit_code, done.output


def test_what_is_not_running_opens_at_its_next_start(tmp_path: Path) -> None:
    first, kafka = free_port(row=2), free_port(row=2)

    code, said = enable(
        tmp_path, "--host", "flows.example", "--https-port", str(first), "--kafka-port", str(kafka)
    )

    assert code == 0, said
    assert "opens at its next start" in said
    assert f"central-a: https://flows.example:{first}\n" in said
    assert f"central-b: https://flows.example:{first + 1}\n" in said
    assert json.loads((tmp_path / "network.json").read_text())["kafka_port"] == kafka


def test_where_other_machines_find_kafka_it_does_not_move(tmp_path: Path) -> None:
    https, kafka = str(free_port(row=2)), str(free_port(row=2))
    here = ("--host", "flows.example", "--https-port", https, "--kafka-port", kafka)
    assert enable(tmp_path, *here)[0] == 0

    (tmp_path / "brokers").write_text("127.0.0.1:19096\n")
    assert enable(tmp_path, *here[:-1], str(free_port(row=2)))[0] == 0
    assert enable(tmp_path, *here)[0] == 0
    (tmp_path / "brokers").write_text("127.0.0.1:19096,other.example:19094\n")
    assert enable(tmp_path, *here)[0] == 0
    code, said = enable(tmp_path, "--host", "new.example", *here[2:])
    assert code == 1
    assert f"find Kafka here at flows.example:{kafka}" in said


def test_where_443_cannot_be_bound_it_is_8443_and_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port, other = taken.getsockname()[1], free_port(row=2)
        monkeypatch.setattr("cli.network_plan.HTTPS_PORTS", (port, other))
        code, said = enable(tmp_path, "--host", "a.example", "--kafka-port", str(free_port()))
        assert code == 0, said
        assert f"not port {port}: " in said
        assert f"https://a.example:{other}\n" in said

        code, said = enable(tmp_path, "--host", "a.example", "--https-port", str(port))
        assert code == 1
        assert f"port {port} of 127.0.0.1 is taken" in said


@pytest.mark.parametrize(
    ("host", "sentence"), [("a b", "is no host name"), ("*.example", "is no host name")]
)
def test_an_impossible_name_is_one_sentence(tmp_path: Path, host: str, sentence: str) -> None:
    code, said = enable(tmp_path, "--host", host)
    assert code == 1
    assert sentence in said
    assert not (tmp_path / "network.json").exists()


def test_whom_to_believe_by_a_certificate_of_ones_own_is_kept_in_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = authority_in(tmp_path / "company")
    own, tls = make_node(company, tmp_path / "own"), tmp_path / "tls"
    monkeypatch.setenv(VARIABLE, str(own.certificate))
    note_own_certificate(tls)
    assert (tls / HTTPS_CA).read_bytes() == company.certificate_pem

    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(TlsError, match="is missing"):
        note_own_certificate(tls)
    monkeypatch.delenv(VARIABLE)
    note_own_certificate(tls)
    assert not (tls / HTTPS_CA).exists()


def test_where_nothing_was_ever_started_it_says_so(tmp_path: Path) -> None:
    code, said = enable(tmp_path / "nowhere", "--host", "a.example")
    assert code == 1
    assert "start it with `steadflow up`" in said
