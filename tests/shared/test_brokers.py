"""How clients are told to reach the brokers."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from services.central.app import check as check_central
from services.central.config import CentralConfig
from services.ingest.app import check as check_ingest
from services.ingest.config import IngestConfig
from services.registry.app import check as check_registry
from services.registry.config import RegistryConfig
from shared.config import ConfigError
from shared.kafka import Brokers, configured_brokers
from shared.tls import TlsError, TlsFiles
from tests.tls_nodes import authority_in, make_node


def test_without_certificates_nothing_is_encrypted() -> None:
    arguments = Brokers("a:1,b:2").arguments
    assert arguments["bootstrap_servers"] == "a:1,b:2"
    assert not {"security_protocol", "ssl_context"} & arguments.keys()
    assert str(Brokers("a:1,b:2")) == "a:1,b:2"


def test_brokers_that_were_noted_are_asked_too(tmp_path: Path) -> None:
    file = tmp_path / "brokers"
    config = RegistryConfig(bootstrap_servers="a:1,b:2", brokers_file=file)
    assert configured_brokers(config).servers == "a:1,b:2"
    file.write_text("c:3,a:1\n")
    assert configured_brokers(config).servers == "a:1,b:2,c:3"


def test_with_certificates_every_client_verifies_the_brokers(tmp_path: Path) -> None:
    make_node(authority_in(tmp_path / "authority"), tmp_path / "node")

    arguments = Brokers("a:1", TlsFiles.in_directory(tmp_path / "node")).arguments

    assert arguments["security_protocol"] == "SSL"
    context = arguments["ssl_context"]
    assert isinstance(context, ssl.SSLContext)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_certificates_that_cannot_be_used_are_found_at_once(tmp_path: Path) -> None:
    with pytest.raises(TlsError, match="is missing"):
        Brokers("a:1", TlsFiles.in_directory(tmp_path))


def test_every_service_names_the_setting_of_a_wrong_folder(tmp_path: Path) -> None:
    given: dict[str, Any] = {"kafka_tls_dir": tmp_path / "nowhere", "http_port": 0}  # settings
    checks: list[Callable[[], None]] = [
        lambda: check_central(CentralConfig(data_dir=tmp_path / "central", **given)),
        lambda: check_ingest(IngestConfig(spool_dir=tmp_path / "spool", udp_port=0, **given)),
        lambda: check_registry(RegistryConfig(**given)),
    ]
    for check in checks:
        with pytest.raises(ConfigError, match=r"^setting kafka_tls_dir: .*/ca\.pem is missing"):
            check()


def test_elsewhere_it_is_the_same_cluster_and_no_file_is_read(tmp_path: Path) -> None:
    files = make_node(authority_in(tmp_path / "authority"), tmp_path / "node")
    brokers = Brokers("a:1", files)
    files.key.unlink()

    other = brokers.at("b:2")

    assert (brokers.servers, other.servers) == ("a:1", "b:2")
    assert other.arguments["bootstrap_servers"] == "b:2"
    assert other.arguments["ssl_context"] is brokers.arguments["ssl_context"]
    # Another listener tells other addresses: asked there, a client would be told those of here.
    brokers.silences.met([("127.0.0.1", 1)])
    assert other.silences.known == ()
    # Made anew it would read them, and fail while they are replaced.
    with pytest.raises(TlsError, match="is missing"):
        Brokers("b:2", files)
