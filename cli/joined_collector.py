"""The process of a collector's machine: what the user chose, and how one sees that it receives."""

import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx

from cli.admission import tls_dir
from cli.supervise import ChildPlan
from cli.system import service_child, url
from shared.host_port import host_port
from shared.kafka import noted_brokers
from shared.plain_http import PLAIN_HTTP

HOST = "127.0.0.1"
_ASK_TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True)
class CollectorPlan:
    """What runs here. brokers: reached by TLS, `host:port` with commas between."""

    home: Path
    name: str
    brokers: str
    udp_host: str
    udp_port: int
    web_port: int
    workers: int

    @property
    def udp(self) -> str:
        """Where exporters send to."""
        return host_port(self.udp_host, self.udp_port)


def all_addresses() -> str:
    """Return the address on which a socket receives all that comes to this machine."""
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as probe:
            probe.bind(("::", 0))
    except OSError:
        return "0.0.0.0"
    return "::"


def joined_child(plan: CollectorPlan, *, with_tls: bool = True) -> ChildPlan:
    """Return the collector, ready as soon as it receives: without Kafka it spools.

    with_tls: only before there is a certificate the settings are read without one.
    """
    settings: dict[str, object] = {
        "name": plan.name,
        "spool_dir": plan.home / plan.name / "spool",
        "udp_host": plan.udp_host,
        "udp_port": plan.udp_port,
        "workers": plan.workers,
        "http_host": HOST,
        "http_port": plan.web_port,
        "bootstrap_servers": plan.brokers,
        "brokers_file": noted_brokers(plan.home),
    }
    if with_tls:
        settings["kafka_tls_dir"] = tls_dir(plan.home)

    child = service_child(plan.home, plan.name, "ingest", settings, plan.web_port)
    return replace(child, ready=receiving(plan.web_port))


def receiving(web_port: int) -> Callable[[], Awaitable[bool]]:
    """Return the question whether the collector there receives, with Kafka or without."""

    async def receives() -> bool:
        reasons = await reasons_of(web_port)
        return reasons is not None and not any(each.startswith("receiver") for each in reasons)

    return receives


async def reasons_of(web_port: int) -> dict[str, str] | None:
    """Return why the collector is not ready, by process; None while it does not answer."""
    try:
        async with httpx.AsyncClient(
            timeout=_ASK_TIMEOUT_S, trust_env=False, verify=PLAIN_HTTP
        ) as client:
            answer = await client.get(f"{url(web_port)}/api/v1/status")
            content: dict[str, Any] = answer.raise_for_status().json()  # JSON
            return {str(name): str(why) for name, why in content["reasons"].items()}
    except (httpx.HTTPError, ValueError, KeyError, AttributeError):
        return None
