"""`steadflow standby enable`: opens this machine's Kafka and HTTPS to others."""

import socket
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from cli import running
from cli.home import default_home
from cli.network import network_file, prepare_tls
from cli.ports import PortTaken, check_port
from cli.system import CENTRALS
from cli.terminal import fail
from shared.network import Network, NetworkError, read_network, write_network
from shared.tls import TlsError, TlsFiles, fingerprint, https_client_context

HTTPS_PORTS = (443, 8443)
"""The second where the first may not be bound: below 1024 that needs a right of its own."""
OPEN_TIMEOUT_S = 180.0
_PROBE_TIMEOUT_S = 5.0
_OPTIONS = "--https-port or --kafka-port"


def enable(
    host: Annotated[str, typer.Option(help="Name or address by which others reach this machine.")],
    https_port: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=65_534,
            help="And the one above. Default: 443, else 8443.",
            show_default=False,
        ),
    ] = None,
    kafka_port: Annotated[int, typer.Option(min=1, max=65_535, help="Of Kafka by TLS.")] = 19094,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = "0.0.0.0",
    home: Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")] = None,
) -> None:
    """Open Kafka and HTTPS to other machines, by TLS; exporters, collector and centrals go on."""
    folder = (home or default_home()).absolute()
    if not folder.is_dir():
        fail(f"there is no steadflow in {folder}: start it with `steadflow up`")
    try:
        before = read_network(network_file(folder))
        tls = prepare_tls(folder, hosts=[host])
        ours = _ports_of(before)
        network = Network(
            host,
            _usable(kafka_port, bind, ours),
            dict(zip(CENTRALS, _https_ports(https_port, bind, ours), strict=True)),
            bind,
        )
        write_network(network_file(folder), network)
        if running.is_held(folder):
            _wait_until_open(folder, network, tls)
        else:
            typer.echo("steadflow does not run: all this opens at its next start")
        _tell(network, tls)
    except (TlsError, NetworkError, PortTaken) as error:
        fail(str(error))


def _ports_of(network: Network | None) -> set[int]:
    return set() if network is None else {network.kafka_port, *network.https_ports.values()}


def _https_ports(asked: int | None, bind: str, ours: set[int]) -> list[int]:
    """Return one port for each central, in a row. Raises PortTaken."""
    for first in HTTPS_PORTS if asked is None else (asked,):
        ports = [first + number for number in range(len(CENTRALS))]
        try:
            return [_usable(port, bind, ours) for port in ports]
        except PortTaken as error:
            if asked is not None or first == HTTPS_PORTS[-1]:
                raise
            typer.echo(f"not port {first}: {error}", err=True)
    raise AssertionError("the last port returns or raises")


def _usable(port: int, bind: str, ours: set[int]) -> int:
    if port not in ours:
        check_port(bind, port, option=_OPTIONS)
    return port


def _wait_until_open(home: Path, network: Network, tls: TlsFiles) -> None:
    """Return once Kafka and every central are reached as others will; fails with why not."""
    deadline_s = time.monotonic() + OPEN_TIMEOUT_S
    while not _is_open(running.read(home), network, tls):
        if time.monotonic() > deadline_s:
            fail(f"not open after {OPEN_TIMEOUT_S:.0f} s: see {home / 'logs'}")
        time.sleep(0.2)


def _is_open(facts: Mapping[str, Any] | None, network: Network, tls: TlsFiles) -> bool:
    """Whether all that was asked for is open. Raises NetworkError with what prevents it."""
    if facts is None:
        return False
    if "network" not in facts:
        raise NetworkError(
            "the steadflow that runs is an older one: `steadflow down`, then `steadflow up`"
        )
    noted = facts["network"]
    # What was noted before the file was seen says nothing of it.
    if noted.get("wanted") != asdict(network):
        return False
    if noted["problem"]:
        raise NetworkError(noted["problem"])
    if not noted["is_open"]:
        return False
    if facts["broker"]["pid"] is not None and not _answers(network, network.kafka_port, tls):
        return False
    return all(_answers(network, port, tls) for port in network.https_ports.values())


def _answers(network: Network, port: int, tls: TlsFiles) -> bool:
    """Whether `port` shows a certificate for the host that others are told."""
    here = network.bind if network.bind not in ("0.0.0.0", "::") else "127.0.0.1"
    try:
        with (
            socket.create_connection((here, port), timeout=_PROBE_TIMEOUT_S) as plain,
            https_client_context(tls).wrap_socket(plain, server_hostname=network.host),
        ):
            return True
    except OSError:
        return False


def _tell(network: Network, tls: TlsFiles) -> None:
    typer.echo(f"Kafka: {network.host}:{network.kafka_port} (TLS, with a certificate)")
    for name, port in network.https_ports.items():
        typer.echo(f"{name}: https://{network.host}{'' if port == 443 else f':{port}'}")
    typer.echo(f"fingerprint: {fingerprint(tls.ca.read_bytes())}")
