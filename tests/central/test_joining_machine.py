"""What a machine that joins is told, by its role."""

from pathlib import Path
from typing import Any

import pytest

from services.central.config import CentralConfig
from services.central.join.api import Joining
from services.central.join.invites import JoinsAs
from services.central.join.machine import joining_of
from shared.network import Network, write_network
from shared.tls import fingerprint
from tests.tls_nodes import authority_in, make_node

TOKEN = "token-of-the-cluster"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_node(authority_in(tmp_path / "tls"), tmp_path / "tls")
    write_network(tmp_path / "network.json", Network("flows.example", 19_094, {"central-a": 8443}))
    return tmp_path


def joining(folder: Path, **settings: Any) -> Joining:  # Any: settings
    config = CentralConfig(
        name="central-a", tls_dir=folder / "tls", authority_dir=folder / "tls",
        network_file=folder / "network.json", **settings,
    )  # fmt: skip
    found = joining_of(
        config,
        token=TOKEN,
        urls=lambda: ["https://flows.example:8443"],
        collectors=lambda: {"collector-1"},
        install=lambda url, joins_as: [],
        now_ms=lambda: 0,
    )
    assert found is not None
    return found


def test_a_collector_gets_neither_the_authoritys_key_nor_the_clusters_token(folder: Path) -> None:
    found = joining(folder)
    key = (folder / "tls" / "ca.key").read_text()

    told = found.given(JoinsAs.COLLECTOR)
    assert told == {
        "brokers": "flows.example:19094",
        "centrals": ["https://flows.example:8443"],
    }
    more = found.given(JoinsAs.STANDBY)
    assert (more["authority_key"], more["token"]) == (key, TOKEN)


def test_a_certificate_of_the_users_own_is_what_invites_name(folder: Path) -> None:
    company = authority_in(folder / "company")
    own = make_node(company, folder / "own")
    authority = (folder / "tls" / "ca.pem").read_bytes()
    assert joining(folder).fingerprint() == fingerprint(authority)

    found = joining(folder, https_certificate=own.certificate, https_key=own.key)

    assert found.fingerprint() == fingerprint(own.certificate.read_bytes())
    for role in JoinsAs:
        assert found.given(role)["https_ca"].encode() == company.certificate_pem


def test_only_a_collectors_name_is_taken_by_a_collector(folder: Path) -> None:
    found = joining(folder)

    assert found.is_taken("collector-1", JoinsAs.COLLECTOR)
    assert not found.is_taken("collector-2", JoinsAs.COLLECTOR)
    assert not found.is_taken("collector-1", JoinsAs.STANDBY)
