"""The processes of a standby's machine: its agent, a registry, a central."""

import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from cli.broker_settings import BrokerPlan
from cli.joined_broker import KAFKA_PORT, all_servers, joined_plan
from cli.known_brokers import with_known
from cli.supervise import ChildPlan
from cli.system import CENTRAL_RESTART_S, kafka_by_tls, service_child, url
from shared.plain_http import PLAIN_HTTP

PRIORITY = 120
"""After the two centrals of the first machine, when all are as far."""
RESTORE_TIMEOUT_S = 3600.0
"""A large copy is checked and attached before the central answers."""


@dataclass(frozen=True, slots=True)
class StandbyPlan:
    """What the user chose. web_port: the first of three on loopback: central, registry, agent.

    kafka_port: the first of three of the broker here. replaces: a machine that is gone.
    """

    home: Path
    name: str
    primary: str
    hosts: tuple[str, ...]
    https_port: int
    web_port: int
    copy_bytes_per_s: int
    is_forced: bool
    copies_only: bool = False
    rejoins: bool = True
    kafka_port: int = KAFKA_PORT
    bind: str = "0.0.0.0"
    replaces: str = ""
    site: str = ""

    @property
    def tls_dir(self) -> Path:
        """This node's certificate."""
        return self.home / "tls"

    @property
    def central_url(self) -> str:
        """Where the central answers on this machine."""
        return url(self.web_port)

    @property
    def registry(self) -> str:
        """Name of the registry here."""
        return f"registry-{self.name.removeprefix('central-')}"

    @property
    def registry_url(self) -> str:
        """Where the registry answers on this machine."""
        return url(self.web_port + 1)

    @property
    def agent_url(self) -> str:
        """Where the agent answers on this machine."""
        return url(self.web_port + 2)

    def given(self) -> dict[str, Any]:  # JSON
        """Return what the primary told the agent."""
        content: dict[str, Any] = json.loads((self.home / "given.json").read_text())
        return content

    def brokers_or_none(self) -> str | None:
        """Return the brokers once they are known."""
        try:
            return str(self.given()["brokers"])
        except (OSError, ValueError, KeyError):
            return None


def agent_child(plan: StandbyPlan) -> ChildPlan:
    """Return the agent, ready as soon as it answers."""
    settings: dict[str, object] = {
        "name": plan.name,
        "home": plan.home,
        "primary": plan.primary,
        "invite_file": plan.home / "invite",
        "hosts": ",".join(dict.fromkeys([*plan.hosts, "localhost", "127.0.0.1"])),
        "https_port": plan.https_port,
        "kafka_port": plan.kafka_port,
        "central_url": plan.central_url,
        "http_port": plan.web_port + 2,
        "is_forced": plan.is_forced,
        "copy_bytes_per_s": plan.copy_bytes_per_s,
        "copies_only": plan.copies_only,
        "rejoins": plan.rejoins,
        "replaces": plan.replaces,
    }
    child = service_child(plan.home, "agent", "standby", settings, plan.web_port + 2)
    return replace(child, ready=_answering(plan.agent_url))


def _answering(place: str) -> Callable[[], Awaitable[bool]]:
    async def answers() -> bool:
        try:
            async with httpx.AsyncClient(timeout=3.0, trust_env=False, verify=PLAIN_HTTP) as client:
                return (await client.get(f"{place}/health/live")).is_success
        except httpx.HTTPError:
            return False

    return answers


def broker_plan(plan: StandbyPlan, given: Mapping[str, Any]) -> BrokerPlan | None:
    """Return the broker here; None where the primary's Kafka is none of steadflow's."""
    return joined_plan(
        plan.home,
        given,
        machine=plan.name,
        site=plan.site,
        host=plan.hosts[0],
        port=plan.kafka_port,
        bind=plan.bind,
    )


def registry_child(plan: StandbyPlan, given: Mapping[str, Any]) -> ChildPlan:
    """Return the registry: one that died with the first machine could propose nobody."""
    settings = {**_kafka(plan, given), "name": plan.registry, "http_port": plan.web_port + 1}
    return service_child(plan.home, plan.registry, "registry", settings, plan.web_port + 1)


def central_child(
    plan: StandbyPlan, given: Mapping[str, Any], seen_to_end: Callable[[str], None]
) -> ChildPlan:
    """Return the central. seen_to_end: as of `cli.system.central_children`."""
    settings: dict[str, object] = {
        **_kafka(plan, given),
        "name": plan.name,
        "data_dir": plan.home / plan.name,
        "http_port": plan.web_port,
        "tls_dir": plan.tls_dir,
        "download_dir": plan.home / "download",
        "authority_dir": plan.tls_dir,
        "https_host": "0.0.0.0",
        "https_port": plan.https_port,
        "url": f"https://{plan.hosts[0]}:{plan.https_port}",
        "priority": PRIORITY,
        "candidate": not plan.copies_only,
        "stands_still_when_old": True,
        "broker_number": given.get("kafka", {}).get("number", 0),
        "registry_urls": plan.registry_url,
        "export_address": given.get("export_address", ":2055"),
    }
    child = service_child(
        plan.home, plan.name, "central", settings, plan.web_port, start_timeout_s=RESTORE_TIMEOUT_S
    )

    def ended(boot_id: str) -> None:
        seen_to_end(f"{plan.name}/{boot_id}")

    return replace(
        child,
        # Whether it is more than there is for the agent to say.
        ready=_answering(plan.central_url),
        temporary=plan.home / plan.name / "tmp",
        boot_id_variable="STEADFLOW_CENTRAL_BOOT_ID",
        on_end=ended,
        restart_s=CENTRAL_RESTART_S,
    )


def _kafka(plan: StandbyPlan, given: Mapping[str, Any]) -> dict[str, object]:
    known = with_known(plan.home, given["brokers"])
    return {
        **kafka_by_tls(plan.home, all_servers(broker_plan(plan, given), known)),
        "token_file": plan.home / "token",
        "http_host": "127.0.0.1",
    }
