"""What the agent asks of the central on its own machine, over HTTP and by the marks it leaves."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import httpx

from shared.snapshot_folder import write_whole

ASK_AGAIN_S: Final = 0.5
MINUTE_MS: Final = 60_000
TIMEOUT_S: Final = 5.0
LAG_S: Final = 5.0
"""A central no further behind than this has caught up."""
RESTORE: Final = "restore"
"""Folder in its data_dir from which it is restored at its next start."""
_REPLACE: Final = "replace"
_TOO_OLD: Final = "too-old"


class IsTooOld(Exception):
    """The central stands still: Kafka no longer has what it would read next. Its sentence."""


class Differs(Exception):
    """Minutes of the copy are not what the primary holds; the text is one sentence."""


def proven_until_ms(proof: Mapping[str, Any]) -> int:
    """Return until when the central that answered `/api/v1/proof` is a copy; 0 for never.

    What is wrong on others only holds nothing up. Raises Differs.
    """
    copy = proof["copy"]
    if count := copy["differences"]:
        raise Differs(f"{count} minutes differ: `steadflow standby repair` mends them")
    last = copy["last_proven_minute"]
    return 0 if last is None else _ms(last) + MINUTE_MS


class CentralHere:
    """One central. Waits may last for ever: it is another process."""

    def __init__(
        self, url: str, *, name: str, data_dir: Path, token: Callable[[], str] = lambda: ""
    ) -> None:
        """Open nothing. data_dir: where it keeps its data. token: for where reading needs one."""
        self._token = token
        self._url = url
        self._name = name
        self._data_dir = data_dir

    @property
    def restore_folder(self) -> Path:
        """Where a snapshot has to be for it to be restored."""
        return self._data_dir / RESTORE

    def replace_store(self, snapshot: str) -> None:
        """Have the whole snapshot take the place of its store at its next start. Blocking."""
        write_whole(self._data_dir / _REPLACE, snapshot.encode())

    def too_old(self) -> str:
        """Return why it stands still for good, in a sentence; empty when it does not."""
        try:
            return (self._data_dir / _TOO_OLD).read_text().strip()
        except FileNotFoundError:
            return ""

    async def restored(self) -> None:
        """Return once it answers out of the copy."""

        async def answers(client: httpx.AsyncClient) -> bool:
            # Until it was started again it answers out of the store before.
            return not self.restore_folder.exists() and await _get(client, "/health/live")

        await self._until(answers, unless_old=False)

    async def caught_up(self) -> None:
        """Return once it has read the log to its end. Raises IsTooOld."""

        async def has_caught_up(client: httpx.AsyncClient) -> bool:
            cluster = await _get(client, "/api/v1/cluster")
            nodes = [] if cluster is None else cluster["nodes"]
            lags = [each["lag_s"] for each in nodes if each["name"] == self._name]
            return bool(lags) and lags[0] is not None and lags[0] <= LAG_S

        await self._until(has_caught_up)

    async def proven(self, snapshot_ms: int) -> int:
        """Return until when (ms, UTC) it is a copy, once that covers the one of `snapshot_ms`.

        Raises Differs, IsTooOld.
        """
        found = 0

        async def is_proven(client: httpx.AsyncClient) -> bool:
            nonlocal found
            proof = await _get(client, "/api/v1/proof")
            found = 0 if proof is None else proven_until_ms(proof)
            return found >= snapshot_ms

        await self._until(is_proven)
        return found

    async def _until(
        self, holds: Callable[[httpx.AsyncClient], Awaitable[Any]], *, unless_old: bool = True
    ) -> None:
        async with httpx.AsyncClient(
            base_url=self._url,
            headers={"Authorization": f"Bearer {self._token()}"},
            timeout=TIMEOUT_S,
            trust_env=False,
        ) as client:
            while not await holds(client):
                if unless_old and (why := self.too_old()):
                    raise IsTooOld(why)
                await asyncio.sleep(ASK_AGAIN_S)


def _ms(instant: str) -> int:
    return int(datetime.fromisoformat(instant).timestamp() * 1000)


async def _get(client: httpx.AsyncClient, path: str) -> Any:  # JSON
    """Return a JSON answer; None without one."""
    try:
        answer = await client.get(path)
        return answer.json() if answer.is_success else None
    except (httpx.HTTPError, ValueError):
        return None
