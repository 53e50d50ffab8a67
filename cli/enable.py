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
from cli.network import network_file
from cli.network_plan import plan_network
from cli.ports import PortTaken
from cli.refusals import check_refused, refusals
from cli.terminal import fail
from shared.network import BIND, KAFKA_PORT, Network, NetworkError, Wish, write_network
from shared.tls import TlsError, TlsFiles, fingerprint, https_client_context

OPEN_TIMEOUT_S = 180.0
_PROBE_TIMEOUT_S = 5.0


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
    kafka_port: Annotated[
        int, typer.Option(min=1, max=65_535, help="Of Kafka by TLS.")
    ] = KAFKA_PORT,
    bind: Annotated[str, typer.Option(help="Address to listen on.")] = BIND,
    home: Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")] = None,
) -> None:
    """Open Kafka and HTTPS to other machines, by TLS; exporters, collector and centrals go on."""
    folder = (home or default_home()).absolute()
    if not folder.is_dir():
        fail(f"there is no steadflow in {folder}: start it with `steadflow up`")
    try:
        wish = Wish(host, https_port, kafka_port, bind)
        network, tls = plan_network(folder, wish, say=lambda line: typer.echo(line, err=True))
        before = refusals(running.read(folder))
        write_network(network_file(folder), network)
        if running.is_held(folder):
            _wait_until_open(folder, network, tls, before)
        else:
            typer.echo("steadflow does not run: all this opens at its next start")
        _tell(network, tls)
    except (TlsError, NetworkError, PortTaken) as error:
        fail(str(error))


def _wait_until_open(home: Path, network: Network, tls: TlsFiles, refused_before: int) -> None:
    """Return once Kafka and every central are reached as others will; fails with why not."""
    deadline_s = time.monotonic() + OPEN_TIMEOUT_S
    while not _is_open(running.read(home), network, tls, refused_before):
        if time.monotonic() > deadline_s:
            fail(f"not open after {OPEN_TIMEOUT_S:.0f} s: see {home / 'logs'}")
        time.sleep(0.2)


def _is_open(
    facts: Mapping[str, Any] | None, network: Network, tls: TlsFiles, refused_before: int
) -> bool:
    """Whether all that was asked for is open. Raises NetworkError with what prevents it."""
    if facts is None:
        return False
    if "network" not in facts:
        raise NetworkError(
            "the steadflow that runs is an older one: `steadflow down`, then `steadflow up`"
        )
    check_refused(facts, network, refused_before)
    noted = facts["network"]
    # What was noted before the file was seen says nothing of it.
    if noted.get("wanted") != asdict(network) or not noted["is_open"]:
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
