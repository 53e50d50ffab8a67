"""Runs a drill over HTTP: looks at all centrals, takes the role away, waits until all is settled.

Whoever runs it is no part of what is proven: it sees what every client sees.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self

import httpx

from shared.drill import (
    NAMED_MAX,
    SUMS,
    Drill,
    DrillError,
    Kind,
    Look,
    checks,
    encode_drill,
    ended,
)
from shared.roles.history import problems

MINUTE_MS: Final = 60_000
BEFORE_MS: Final = 5 * MINUTE_MS
"""The centrals' sums are compared from so long before the drill on."""
LATE_MS: Final = 5_000
"""How long a flow may take into the store."""
SETTLE_MS: Final = 180_000
PAUSE_S: Final = 0.5
NOTE_PATIENCE_S: Final = 30.0
HISTORY_READ: Final = 1_000
READ_TIMEOUT_S: Final = 15.0
CHANGE_TIMEOUT_S: Final = 40.0
"""A registry waits up to 20 s for the log, and a central that passes on waits for it."""

Json = dict[str, Any]  # Any: JSON.
Act = Callable[[], Awaitable[None]]


class Away(Exception):
    """A central did not answer, or not with what was asked; the text is one sentence."""


class DrillCluster:
    """The centrals of a cluster, asked by HTTP."""

    def __init__(
        self,
        centrals: Mapping[str, str],
        *,
        token: str,
        tls: ssl.SSLContext | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        """centrals: URL of each by name. tls: how to reach those that answer by HTTPS.

        transport: None for the network.
        """
        self._centrals = {name: url.rstrip("/") for name, url in centrals.items()}
        # No proxy: they are on this machine, or the cluster named them.
        self._client = httpx.AsyncClient(
            trust_env=False,
            timeout=READ_TIMEOUT_S,
            verify=True if tls is None else tls,
            transport=transport,
            headers={"Authorization": f"Bearer {token}"},
        )

    async def __aenter__(self) -> Self:
        """Return self."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def note(self, drill: Drill) -> None:
        """Have the primary keep `drill` as it stands. Raises DrillError."""
        said = "no central answers"
        for _ in range(int(NOTE_PATIENCE_S / PAUSE_S)):
            for url in self._centrals.values():
                try:
                    answer = await self._client.put(
                        f"{url}/api/v1/drills/{drill.id}",
                        content=encode_drill(drill),
                        headers={"Content-Type": "application/json"},
                    )
                except httpx.HTTPError as error:
                    said = f"{url} does not answer: {_why(error)}"
                    continue
                if answer.is_success:
                    return
                said = _detail(answer)
                if answer.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    raise DrillError(said)
            await asyncio.sleep(PAUSE_S)
        raise DrillError(f"the drill could not be noted: {said}")

    async def switch_over(self) -> None:
        """Have the primary hand its role over to the best one. Raises DrillError."""
        said = "no central answers"
        for url in self._centrals.values():
            try:
                answer = await self._client.post(
                    f"{url}/api/v1/cluster/switchover",
                    json={"to": ""},
                    timeout=CHANGE_TIMEOUT_S,
                )
            except httpx.ConnectError as error:
                said = f"{url} does not answer: {_why(error)}"
                continue
            except httpx.HTTPError as error:
                raise DrillError(f"{url} gave no answer: {_why(error)}") from error
            if answer.is_success:
                return
            raise DrillError(_detail(answer))
        raise DrillError(said)

    async def look(self, now_ms: int, *, tail: str = "") -> Look:
        """Return how all stands. tail: hash of the history's entry to count from. Raises Away."""
        views = await asyncio.gather(
            *(self._get(name, "cluster") for name in self._centrals), return_exceptions=True
        )
        known: list[Json] = [each for each in views if isinstance(each, dict)]
        if not known:
            raise Away("no central answers")
        view = max(known, key=lambda each: int(each["epoch"]))
        totals, proofs, collectors, history = await asyncio.gather(
            self._all("totals"),
            self._all("proof"),
            self._first("collectors"),
            self._first("history", limit=str(HISTORY_READ)),
        )
        epoch, primary = int(view["epoch"]), str(view["primary"] or "")
        heard = [each for each in collectors["rows"] if not each["is_silent"]]
        last = view["last_takeover"]
        return _with_history(
            Look(
                at_ms=now_ms,
                epoch=epoch,
                primary=primary,
                roles={str(each["name"]): str(each["role"]) for each in view["nodes"]},
                totals={name: _sums(found) for name, found in totals.items()},
                collectors=len(heard),
                unaware=[
                    str(each["worker"])
                    for each in heard
                    if (each["primary"], each["epoch"]) != (primary, epoch)
                ][:NAMED_MAX],
                differences=sum(int(each["differences_total"]) for each in proofs.values()),
                takeover_s=last["seconds"] if last and last["epoch"] == epoch else None,
            ),
            history["entries"],
            tail,
        )

    async def counted(self, from_ms: int, to_ms: int) -> tuple[dict[str, dict[str, int]], bool]:
        """Return each central's sums of the range, and whether all stood at one place meanwhile.

        Raises Away.
        """
        before = await self._places()
        totals = await self._all("totals", **{"from": _instant(from_ms), "to": _instant(to_ms)})
        places = [*before, *await self._places()]
        sums = {name: _sums(found) for name, found in totals.items()}
        return sums, all(each == places[0] for each in places)

    async def _places(self) -> list[dict[int, int]]:
        found = await self._all("positions")
        return [
            {int(row["partition"]): int(row["next_offset"]) for row in each["rows"]}
            for each in found.values()
        ]

    async def _all(self, path: str, **query: str) -> dict[str, Json]:
        answers = await asyncio.gather(*(self._get(name, path, **query) for name in self._centrals))
        return dict(zip(self._centrals, answers, strict=True))

    async def _first(self, path: str, **query: str) -> Json:
        said = Away("no central answers")
        for name in self._centrals:
            try:
                return await self._get(name, path, **query)
            except Away as error:
                said = error
        raise said

    async def _get(self, name: str, path: str, **query: str) -> Json:
        try:
            answer = await self._client.get(
                f"{self._centrals[name]}/api/v1/{path}", params=query or None
            )
            content = answer.json()
        except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
            raise Away(f"{name} does not answer: {_why(error)}") from error
        if not answer.is_success or not isinstance(content, dict):
            raise Away(f"{name}: {_detail(answer)}")
        return content


async def run_drill(
    drill: Drill, cluster: DrillCluster, act: Act, *, now_ms: Callable[[], int]
) -> Drill:
    """Run one that was noted as begun, note its end, and return it.

    act: takes the primary's role away; raises DrillError.
    """
    try:
        drill = await _run(drill, cluster, act, now_ms)
        drill = ended(drill, now_ms())
    except (DrillError, Away) as error:
        drill = ended(drill, now_ms(), str(error))
    except (KeyError, TypeError) as error:
        drill = ended(drill, now_ms(), f"an answer without {error}")
    await cluster.note(drill)
    return drill


async def _run(drill: Drill, cluster: DrillCluster, act: Act, now_ms: Callable[[], int]) -> Drill:
    before = await cluster.look(now_ms())
    drill = replace(drill, before=before, from_ms=before.at_ms // MINUTE_MS * MINUTE_MS - BEFORE_MS)
    if not before.primary:
        raise DrillError("nobody is primary: there is no role to be taken over")
    await act()
    acted_ms = now_ms()
    to_ms = (acted_ms // MINUTE_MS + 1) * MINUTE_MS
    while True:
        said = ""
        try:
            after = await cluster.look(now_ms(), tail=before.tail)
            counted, is_still = await cluster.counted(drill.from_ms, to_ms)
        except Away as error:
            said = str(error)
        else:
            drill = replace(drill, after=after, counted=counted, to_ms=to_ms)
            # With flows still coming the sums of a range are compared once it is over.
            is_over = is_still or now_ms() > to_ms + LATE_MS
            if is_over and after.takeover_s is not None and all(c.is_kept for c in checks(drill)):
                return drill
        if now_ms() > acted_ms + SETTLE_MS:
            if said:
                raise DrillError(f"not settled after {SETTLE_MS // 1000} s: {said}")
            return drill
        await asyncio.sleep(PAUSE_S)


def kind_problem(view: Json, kind: Kind) -> str:
    """Return why a cluster as `GET /api/v1/cluster` shows it is in no state for a drill."""
    if view["primary"] is None:
        return "nobody is primary"
    if kind is Kind.KILL and view["paused"]:
        return "the cluster is paused, so nobody would take over: `steadflow resume` first"
    if not any(each["role"] == "standby" and not each["problem"] for each in view["nodes"]):
        return "nobody could take over"
    return ""


def _with_history(look: Look, entries: Sequence[Json], tail: str) -> Look:
    if not entries:
        return replace(look, chain="the history is empty" if tail else "")
    hashes = [str(each["hash"]) for each in entries]
    if tail and tail not in hashes:
        said = "what stood in the history before the drill is not there any more"
        return replace(look, tail=hashes[-1], chain=said)
    new = entries[hashes.index(tail) + 1 :] if tail else []
    found = list(problems(new, before=tail)) if new else []
    return replace(
        look,
        tail=hashes[-1],
        entries=len(new),
        takeovers=sum(each.get("is") == "acts" for each in new),
        chain=found[0] if found else "",
    )


def _sums(content: Json) -> dict[str, int]:
    return {name: int(content[name]) for name in SUMS}


def _instant(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds")


def _detail(answer: httpx.Response) -> str:
    try:
        content = answer.json()
    except ValueError:
        content = None
    said = content.get("detail") or content.get("reason") if isinstance(content, dict) else None
    return str(said or f"{answer.url.path} answers {answer.status_code}")


def _why(error: Exception) -> str:
    return str(error) or type(error).__name__
