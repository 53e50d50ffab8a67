"""What a machine that joins is told, by its role."""

from pathlib import Path
from typing import Any

import pytest
from fastapi import Request

from services.central.brokers.keeper import BrokerLimits, Keeper
from services.central.config import CentralConfig
from services.central.join.api import Joining
from services.central.join.invites import JoinsAs
from services.central.join.machine import joining_of, places_to_ask
from services.central.join.names import Newcomer
from shared.kafka import Brokers, open_membership
from shared.membership import Controller, Facts, Member
from shared.network import Network, write_network
from shared.settings_events import SettingsEvent
from shared.tls import fingerprint
from tests.central.kafka_machines import MemoryMachines, cluster
from tests.tls_nodes import authority_in, make_node

TOKEN = "token-of-the-cluster"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_node(authority_in(tmp_path / "tls"), tmp_path / "tls")
    write_network(tmp_path / "network.json", Network("flows.example", 19_094, {"central-a": 8443}))
    return tmp_path


def own_keeper(facts: Facts | None = None, machines: MemoryMachines | None = None) -> Keeper:
    async def change(event: SettingsEvent) -> None:
        raise AssertionError(event)

    keeper = Keeper(
        brokers=lambda: None if machines is None else Brokers("unused:1"),
        local=Brokers("unused:1"),
        home=1,
        is_primary=lambda: True,
        centrals=lambda: (),
        able=lambda: (),
        limits=BrokerLimits(1, 2),
        leaving=dict,
        change=change,
        now_ms=lambda: 0,
        connect=open_membership if machines is None else machines.connect,
    )
    keeper.facts = facts
    return keeper


async def replace(_request: Request, gone: str, _newcomer: str) -> None:
    raise AssertionError(gone)


def joining(
    folder: Path,
    keeper: Keeper | None = None,
    **settings: Any,  # Any: settings
) -> Joining:
    config = CentralConfig(
        name="central-a", tls_dir=folder / "tls", authority_dir=folder / "tls",
        network_file=folder / "network.json", **settings,
    )  # fmt: skip
    found = joining_of(
        config,
        token=TOKEN,
        urls=lambda: ["https://flows.example:8443"],
        collectors=lambda: {"collector-1"},
        centrals=lambda: {"central-a": True},
        invites=lambda: (),
        install=lambda url, joins_as: [],
        keeper=keeper or own_keeper(),
        replace=replace,
        now_ms=lambda: 0,
    )
    assert found is not None
    return found


def test_a_collector_gets_neither_the_authoritys_key_nor_the_clusters_token(folder: Path) -> None:
    found = joining(folder)
    key = (folder / "tls" / "ca.key").read_text()

    told = found.given("node", JoinsAs.COLLECTOR)
    assert told == {
        "brokers": "flows.example:19094",
        "centrals": ["https://flows.example:8443"],
    }
    more = found.given("node", JoinsAs.STANDBY)
    assert (more["authority_key"], more["token"]) == (key, TOKEN)


def test_a_certificate_of_the_users_own_is_what_invites_name(folder: Path) -> None:
    company = authority_in(folder / "company")
    own = make_node(company, folder / "own")
    authority = (folder / "tls" / "ca.pem").read_bytes()
    assert joining(folder).fingerprint() == fingerprint(authority)

    found = joining(folder, https_certificate=own.certificate, https_key=own.key)

    assert found.fingerprint() == fingerprint(own.certificate.read_bytes())
    for role in JoinsAs:
        assert found.given("node", role)["https_ca"].encode() == company.certificate_pem


async def test_who_is_there_is_asked_before_a_name_is_given(folder: Path) -> None:
    found = joining(folder)

    assert "runs already" in await found.why_taken(Newcomer("collector-1", JoinsAs.COLLECTOR))
    assert "runs already" in await found.why_taken(Newcomer("central-a", JoinsAs.STANDBY))
    assert not await found.why_taken(Newcomer("central-c", JoinsAs.STANDBY))


async def test_a_broker_that_was_forgotten_since_takes_no_name(folder: Path) -> None:
    machines = MemoryMachines(cluster(1))
    keeper = own_keeper(cluster(1, 7, voters=(1, 7)), machines)
    found = joining(folder, keeper)

    assert not await found.why_taken(Newcomer("m7", JoinsAs.WITNESS))
    keeper.facts = machines.facts_now = cluster(1, 7, voters=(1, 7))
    assert "the broker of m7 votes" in await found.why_taken(Newcomer("m7", JoinsAs.WITNESS))


def test_nobody_with_a_broker_joins_before_the_brokers_are_known(folder: Path) -> None:
    keeper = own_keeper()
    found = joining(folder, keeper, broker_number=1)
    said = [found.not_yet(role) for role in (JoinsAs.STANDBY, JoinsAs.WITNESS)]
    assert ["not known here yet" in each for each in said] == [True, True]
    assert not found.not_yet(JoinsAs.COLLECTOR)
    assert not joining(folder, keeper).not_yet(JoinsAs.STANDBY)
    keeper.facts = cluster(1)
    assert not found.not_yet(JoinsAs.STANDBY)


def test_a_broker_that_moved_is_asked_at_its_new_place_too() -> None:
    facts = cluster(1)
    assert places_to_ask("new:10", facts).split(",") == [facts.addresses, "new:10"]
    assert places_to_ask(facts.addresses, facts) == facts.addresses
    assert places_to_ask("new:10", None) == "new:10"


def test_a_machine_with_a_broker_is_told_where_it_votes_and_a_collector_is_not(
    folder: Path,
) -> None:
    members = (Member(1, "one", "h1", 10, True), Member(7, "two", "h2", 20, True))
    controllers = (Controller(1, bytes(16), True, 0), Controller(7, bytes(16), False, 0))
    told = joining(folder, own_keeper(Facts("id", members, controllers, (), {})))

    witness = told.given("third", JoinsAs.WITNESS)
    assert witness["brokers"] == "h1:10,h2:20"
    assert (witness["kafka"]["cluster_id"], witness["kafka"]["controllers"]) == (
        "id", "h1:11,h2:21"
    )  # fmt: skip
    assert witness["kafka"]["number"] == told.given("third", JoinsAs.STANDBY)["kafka"]["number"] > 1
    assert witness["kafka"]["number"] != told.given("other", JoinsAs.WITNESS)["kafka"]["number"]
    assert not {"token", "authority_key"} & witness.keys()
    assert "kafka" not in told.given("third", JoinsAs.COLLECTOR)
