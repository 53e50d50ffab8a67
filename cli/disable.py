"""`steadflow standby disable`: closes to others what `enable` opened."""

import contextlib
import socket
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from cli import running
from cli.broker_settings import FIRST_NUMBER
from cli.client import AskError, choose_central
from cli.cluster_client import ClusterClient, ClusterError, urls_of
from cli.home import default_home
from cli.known_brokers import knows_others
from cli.network import network_file
from cli.refusals import check_refused, refusals
from cli.terminal import fail
from shared.network import Network, NetworkError, read_network
from shared.token import TokenError, read_token

CLOSE_TIMEOUT_S = 180.0
TIMEOUT_S = 30.0
_PROBE_TIMEOUT_S = 2.0


def disable(
    home: Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Though machines have joined: they are cut off.")
    ] = False,
) -> None:
    """Close Kafka and HTTPS to other machines again; all that runs here goes on."""
    folder = (home or default_home()).absolute()
    try:
        network = read_network(network_file(folder))
        if network is None:
            typer.echo("other machines cannot reach this one already")
            return
        _refuse_while_others_vote(folder)
        if not force:
            _refuse_while_joined(folder)
        before = refusals(running.read(folder))
        network_file(folder).unlink()
        if running.is_held(folder):
            _wait_until_closed(folder, network, before)
            typer.echo("closed: Kafka and HTTPS answer on this machine only")
        else:
            typer.echo("steadflow does not run: nothing of it is open at its next start")
    except (NetworkError, AskError, ClusterError, TokenError) as error:
        fail(str(error))
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}")


def _refuse_while_others_vote(home: Path) -> None:
    """End the command, forced or not, where Kafka here could decide nothing alone."""
    machines: list[Mapping[str, Any]] = []
    with contextlib.suppress(ClusterError), ClusterClient(urls_of(home)) as cluster:
        machines = cluster.brokers()["machines"]
    # A central that has not seen Kafka yet knows of no machine, which is not to say of none.
    if not machines and (home / "kafka").is_dir() and knows_others(home):
        fail(
            "Kafka ran on other machines too: start it here, and see `steadflow cluster` for "
            "which have to leave first"
        )
    if names := others_voting(machines):
        fail(
            f"{' and '.join(names)} vote on what Kafka decides, and without them nothing could be "
            "decided here: `steadflow standby leave` or `standby remove NAME`, and `witness remove "
            "NAME`, first; --force does not help"
        )


def others_voting(machines: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the machines beside this one that vote. machines: as the API lists them."""
    others = (each for each in machines if each["number"] != FIRST_NUMBER)
    return sorted(str(each["machine"]) for each in others if each["votes"])


def _refuse_while_joined(home: Path) -> None:
    """End the command while other machines need what would be closed."""
    noted = running.read(home) if running.is_held(home) else None
    if noted is None:
        fail("nothing runs here that knows which machines joined: start it, or use --force")
    with ClusterClient(urls_of(home)) as cluster:
        nodes = cluster.view()["nodes"]
    names = joined(nodes, _invites(home), ours={each["name"] for each in noted["centrals"]})
    if names:
        fail(
            f"{', '.join(names)} would be cut off: `steadflow standby leave` there, or "
            "`steadflow standby remove NAME` here; --force closes it all the same"
        )


def joined(
    nodes: Iterable[Mapping[str, Any]], invites: Iterable[Mapping[str, Any]], *, ours: set[str]
) -> list[str]:
    """Return the names of the machines that joined. nodes, invites: as the APIs list them."""
    others = {str(node["name"]) for node in nodes} | {
        str(invite["used_by"]) for invite in invites if invite["used_by"]
    }
    return sorted(others - ours)


def _invites(home: Path) -> list[dict[str, Any]]:  # JSON
    central = choose_central(home, None, None)
    headers = {"Authorization": f"Bearer {read_token(home / 'token')}"}
    try:
        # No proxy: the API listens on loopback.
        answer = httpx.get(
            f"{central.url}/api/v1/invites", headers=headers, timeout=TIMEOUT_S, trust_env=False
        )
        # Where nobody can join there are no invites either.
        rows: list[dict[str, Any]] = answer.json()["rows"] if answer.is_success else []
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise AskError(f"{central.name} gives no answer of use: {error}") from error
    return rows


def _wait_until_closed(home: Path, network: Network, refused_before: int) -> None:
    deadline_s = time.monotonic() + CLOSE_TIMEOUT_S
    while not _is_closed(running.read(home), network, refused_before):
        if time.monotonic() > deadline_s:
            fail(f"not closed after {CLOSE_TIMEOUT_S:.0f} s: see {home / 'logs'}")
        time.sleep(0.2)


def _is_closed(facts: Mapping[str, Any] | None, network: Network, refused_before: int) -> bool:
    """Whether the launcher closed it, and no port answers. Raises NetworkError for why not."""
    check_refused(facts, None, refused_before)
    noted = (facts or {}).get("network") or {}
    if noted.get("wanted", network) is not None:
        return False
    ports = [network.kafka_port, *network.https_ports.values()]
    return bool(noted["is_open"]) and not any(_answers(network, port) for port in ports)


def _answers(network: Network, port: int) -> bool:
    here = network.bind if network.bind not in ("0.0.0.0", "::") else "127.0.0.1"
    try:
        with socket.create_connection((here, port), timeout=_PROBE_TIMEOUT_S):
            return True
    except OSError:
        return False
