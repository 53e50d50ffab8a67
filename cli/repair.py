"""`steadflow standby repair`: mends minutes that are not equal, on the side that is wrong."""

import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from cli.central_urls import central_urls, context_for
from cli.client import AskError, find_centrals
from cli.cluster_client import ClusterClient, ClusterError, urls_of
from cli.home import default_home
from cli.proof_client import Json, NothingToMend, ProofClient, ProofError
from cli.status import NOTHING_RUNS
from cli.terminal import fail
from shared.tls import TlsError
from shared.token import TokenError, read_token

POLL_S = 0.5
UNTOLD: Final = (
    "ended, but how is not told any more: run this again to see whether it still differs"
)
Place = tuple[str, str, str]

Home = Annotated[
    Path | None, typer.Option(help="Folder given to `steadflow up` or `standby join`.")
]
Url = Annotated[str | None, typer.Option(help="Ask the registry or central at this URL instead.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")]
Primary = Annotated[
    bool, typer.Option("--primary", help="Mend the primary, where its side is the wrong one.")
]
Stream = Annotated[str | None, typer.Option(help="With --minute: just this stream, 16 hex digits.")]
Minute = Annotated[str | None, typer.Option(help="With --stream: just this minute, RFC 3339.")]


def repair(
    primary: Primary = False,
    stream: Stream = None,
    minute: Minute = None,
    home: Home = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Mend the minutes that are not equal, on the standby or the primary, from Kafka."""
    if (stream is None) != (minute is None):
        fail("--stream and --minute go together")
    wanted = {} if stream is None or minute is None else {"stream": stream, "minute": minute}
    folder = (home or default_home()).absolute()
    urls = [url] if url is not None else urls_of(folder)
    if not urls:
        fail(f"nothing runs in {folder}", code=NOTHING_RUNS)
    ended: list[Json] = []
    problems: dict[str, ProofError] = {}
    try:
        token = read_token(folder / "token")
        with ClusterClient(urls) as cluster:
            nodes = cluster.view()["nodes"]
        # Another URL may be of another system, whose centrals have the same names.
        places = central_urls(nodes, find_centrals(folder) if url is None else ())
        names = chosen(nodes, primary=primary)
        if not names:
            fail(f"no central is {'the primary' if primary else 'a standby'} now")
        tls = context_for(folder, (places[name] for name in names))
    except (AskError, ClusterError, TlsError, TokenError) as error:
        fail(str(error))
    for name in names:
        try:
            with ProofClient(places[name], token=token, tls=tls) as client:
                for row in _ended(client, client.repair(wanted)):
                    ended.append({"central": name, **row})
                    if not as_json:
                        typer.echo(told(name, row))
        except ProofError as error:
            problems[name] = error
    if as_json and (ended or not problems):
        json.dump({"rows": ended}, sys.stdout, indent=2)
        sys.stdout.write("\n")
    if why := why_not(problems, is_mended=bool(ended)):
        fail(why)
    if any(row["outcome"].startswith(("refused", "failed", UNTOLD)) for row in ended):
        raise typer.Exit(1)


def why_not(problems: Mapping[str, ProofError], *, is_mended: bool) -> str:
    """Return what went wrong, in a sentence; empty for nothing.

    problems: by the central's name. is_mended: somewhere something was; then it is no problem that
    there was nothing elsewhere.
    """
    said = {
        name: str(error)
        for name, error in problems.items()
        if not (is_mended and isinstance(error, NothingToMend))
    }
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return "; ".join(f"{name}: {why}" for name, why in said.items())


def chosen(nodes: Sequence[Mapping[str, Any]], *, primary: bool) -> list[str]:
    """Return the names of those to mend: the primary, or every standby."""
    role = "primary" if primary else "standby"
    return [str(node["name"]) for node in nodes if node["role"] == role and node["url"]]


def told(name: str, row: Mapping[str, Any]) -> str:
    """Return how one repair ended, as a line."""
    return f"{name}: {row['level']} {row['starts_at']} of stream {row['stream']}: {row['outcome']}"


def _ended(client: ProofClient, noted: Sequence[Json]) -> Iterator[Json]:
    """Yield the repairs that were `noted`, each when it has ended."""
    waiting = {_place(row): row for row in noted}
    while waiting:
        proof = client.proof(since=min(row["number"] for row in waiting.values()))
        for row in ended_of(waiting, proof):
            del waiting[_place(row)]
            yield row
        if waiting:
            time.sleep(POLL_S)


def ended_of(waiting: Mapping[Place, Json], proof: Mapping[str, Any]) -> list[Json]:
    """Return which of those that were `waiting` have ended, by a central's answer, oldest first."""
    found: dict[Place, Json] = {}
    # One that was begun again after a crash has a higher number.
    for row in reversed(proof["repairs"]):
        place = _place(row)
        if place in waiting and row["number"] >= waiting[place]["number"]:
            found[place] = row
    untold = waiting.keys() - found.keys() - {_place(row) for row in proof["under_repair"]}
    told = {place for place, row in found.items() if row["finished_at"] is not None}
    return [
        found.get(place, {**row, "outcome": UNTOLD})
        for place, row in waiting.items()
        if place in told or place in untold
    ]


def _place(row: Mapping[str, Any]) -> Place:
    return row["stream"], row["level"], row["starts_at"]
