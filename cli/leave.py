"""`steadflow standby leave` and `remove`: a machine that stands by no more."""

import contextlib
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer

from cli import running
from cli.client import AskError, choose_central
from cli.cluster_client import ClusterClient, ClusterError, urls_of
from cli.home import default_home
from cli.home_owner import Owner, owner_of
from cli.owner import owner_headers
from cli.standby_home import NoStandby, StandbyHome, centrals_told, read_standby, remove_data
from cli.status import stop
from cli.terminal import fail
from shared.tls import TlsError, TlsFiles, https_client_context
from shared.token import TokenError, read_token

TIMEOUT_S = 60.0
VOTE_TIMEOUT_S = 120.0
_UNKNOWN = "there is no node"
_ACTS = "{name} is the primary: switch over first, by `steadflow switchover`"


class NotTold(Exception):
    """The cluster was not told, or said no; the text is one sentence."""


def leave(
    home: Annotated[
        Path | None, typer.Option(help="Folder given to `steadflow standby join`.")
    ] = None,
    removes: Annotated[
        bool, typer.Option("--remove-data", help="Remove certificate, token and data here.")
    ] = False,
) -> None:
    """Stop standing by: what runs here ends, and the primary forgets this machine."""
    folder = (home or default_home()).absolute()
    try:
        standby = read_standby(folder)
    except NoStandby as error:
        if owner_of(folder) is Owner.SYSTEM:
            fail("the machine on which the system was made cannot leave it: `steadflow down`")
        fail(str(error))
    try:
        urls = [*_others(folder, standby), *centrals_told(folder), standby.primary]
        if running.is_held(folder):
            _give_back(folder, standby.name)
            stop(folder)
            typer.echo(f"{standby.name} has stopped")
        _tell(folder, standby.name, dict.fromkeys(urls))
        if removes:
            remove_data(folder, standby.name)
    except (ClusterError, TlsError, TokenError) as error:
        fail(str(error))
    except NotTold as error:
        fail(
            f"{error}: run this again, or `steadflow standby remove {standby.name}` on the "
            "primary's machine"
        )
    except OSError as error:
        fail(f"{error.filename or folder}: {error.strerror or error}")
    typer.echo(
        f"{standby.name} left; its data is removed"
        if removes
        else f"{standby.name} left; its data stays in {folder}, and "
        "`steadflow standby join` without a token brings it back"
    )


def remove(
    name: Annotated[str, typer.Argument(help="Of the central on the machine that is gone.")],
    home: Annotated[Path | None, typer.Option(help="Folder given to `steadflow up`.")] = None,
) -> None:
    """Forget a machine that is gone for ever; one that lives leaves by `leave` there."""
    folder = (home or default_home()).absolute()
    try:
        central = choose_central(folder, None, None)
        token = read_token(folder / "token")
    except (AskError, TokenError) as error:
        fail(str(error))
    try:
        with httpx.Client(timeout=TIMEOUT_S, trust_env=False) as client:
            answer = _forget(client, central.url, token, {"node": name})
    except httpx.HTTPError as error:
        fail(f"{central.name} gives no answer at {central.url}: {error}")
    if not answer.is_success:
        fail(_detail(answer))
    typer.echo(f"{name} is forgotten")


def _others(folder: Path, standby: StandbyHome) -> list[str]:
    """Return where other centrals answer now; none while nothing runs here.

    Ends the command when this machine is the primary.
    """
    urls = urls_of(folder)
    if not urls:
        return []
    with ClusterClient(urls) as cluster:
        view = cluster.view()
    if view["primary"] == standby.name:
        fail(_ACTS.format(name=standby.name))
    return [
        str(node["url"])
        for node in sorted(view["nodes"], key=lambda node: str(node["role"] != "primary"))
        if node["name"] != standby.name and str(node["url"]).startswith("https://")
    ]


def is_needed(machines: Sequence[Mapping[str, Any]], name: str) -> bool | None:
    """Return whether that machine holds copies or votes, and there are others that could.

    Its copies may be the only ones that are whole. machines: as the API lists them; None while they
    are not known.
    """
    if not machines:
        return None
    return len(machines) > 1 and any(
        each["machine"] == name and (each["votes"] or each["copies"]) for each in machines
    )


def _give_back(folder: Path, name: str) -> None:
    """Return once this machine has neither vote nor copies: without them nobody may decide.

    Ends the command, with all as it was, when that does not come.
    """
    if not (folder / "kafka").is_dir():
        return
    with ClusterClient(urls_of(folder), token=read_token(folder / "token")) as cluster:
        try:
            needed = is_needed(cluster.brokers()["machines"], name)
        except ClusterError as error:
            typer.echo(f"whether {name} is needed cannot be asked: {error}", err=True)
            return
        if needed is False:
            return
        typer.echo(f"{name} gives its copies of the log and its vote back")
        cluster.change(f"brokers/{name}/remove")
        has_left = acts = False
        try:
            is_free = _wait_not_needed(cluster, name)
            # Another one may have failed meanwhile, and this one acts.
            acts = cluster.view()["primary"] == name
            has_left = is_free and not acts
        finally:
            if not has_left:
                cluster.change(f"brokers/{name}/keep")
    if acts:
        fail(_ACTS.format(name=name))
    if not has_left:
        fail(f"{name} is needed still, and stays: `steadflow cluster` says what is waited for")


def _wait_not_needed(cluster: ClusterClient, name: str) -> bool:
    deadline_s = time.monotonic() + VOTE_TIMEOUT_S
    while time.monotonic() < deadline_s:
        # While leaders move one of the answers may be none.
        with contextlib.suppress(ClusterError):
            if is_needed(cluster.brokers()["machines"], name) is False:
                return True
        time.sleep(1.0)
    return False


def _tell(folder: Path, name: str, urls: Iterable[str]) -> None:
    """Have the cluster forget this machine, by the first that answers. Raises NotTold."""
    token = read_token(folder / "token")
    context = https_client_context(TlsFiles.in_directory(folder / "tls"))
    said = "nobody could be told"
    with httpx.Client(verify=context, timeout=TIMEOUT_S, trust_env=False) as client:
        for url in urls:
            try:
                answer = _forget(client, url, token, {"node": name, "has_stopped": True})
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                said = f"{url} does not answer: {str(error) or type(error).__name__}"
                continue
            if answer.is_success or _detail(answer).startswith(_UNKNOWN):
                return
            said = _detail(answer)
    raise NotTold(said)


def _forget(client: httpx.Client, url: str, token: str, body: Mapping[str, Any]) -> httpx.Response:
    return client.post(
        f"{url.rstrip('/')}/api/v1/cluster/forget",
        json=body,
        headers=owner_headers(token),
    )


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.url} answers {answer.status_code}"
