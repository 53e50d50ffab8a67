"""No takeover while Kafka is restarted on purpose: that would say nothing about the primary."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx

from cli import running
from cli.cluster_client import ClusterClient, ClusterError, urls_of
from shared.plain_http import PLAIN_HTTP
from shared.token import TokenError, read_token

ACTS_AGAIN_TIMEOUT_S = 120.0
_AGAIN_S = 1.0
"""Also the time in which the log hears that the primary committed something again."""
_PROBE_TIMEOUT_S = 5.0


@contextlib.asynccontextmanager
async def no_takeover(home: Path, say: Callable[[str], None]) -> AsyncIterator[None]:
    """Pause takeovers in the block and until the primary acts again, two minutes at most.

    On a slow machine a primary needs longer than four times K ticks to act again after its broker
    was away, and another central would take over needlessly. A cluster that is paused stays so;
    one that cannot be asked goes on unpaused.
    """
    is_paused_here = await asyncio.to_thread(_pause, home, say)
    try:
        yield
        if is_paused_here:
            await _until_acting(home)
    finally:
        if is_paused_here:
            await asyncio.shield(asyncio.to_thread(_resume, home, say))


def _pause(home: Path, say: Callable[[str], None]) -> bool:
    try:
        with _client(home) as client:
            if client.view()["paused"]:
                return False
            client.change("pause")
    except (ClusterError, TokenError) as error:
        say(f"takeovers are not paused meanwhile: {error}")
        return False
    return True


async def _until_acting(home: Path) -> None:
    deadline_s = time.monotonic() + ACTS_AGAIN_TIMEOUT_S
    acted = 0
    # Seen twice: what it committed in between is known to the log by then.
    while acted < 2 and time.monotonic() < deadline_s:
        await asyncio.sleep(_AGAIN_S)
        acted = acted + 1 if await asyncio.to_thread(_somebody_acts, home) else 0


def _somebody_acts(home: Path) -> bool:
    centrals = (running.read(home) or {"centrals": []})["centrals"]
    with httpx.Client(timeout=_PROBE_TIMEOUT_S, trust_env=False, verify=PLAIN_HTTP) as client:
        for central in centrals:
            with contextlib.suppress(httpx.HTTPError):
                if client.get(f"{central['url']}/primary").status_code == httpx.codes.OK:
                    return True
    return False


def _resume(home: Path, say: Callable[[str], None]) -> None:
    try:
        with _client(home) as client:
            client.change("resume")
    except (ClusterError, TokenError) as error:
        say(f"takeovers are still paused, `steadflow resume` ends that: {error}")


def _client(home: Path) -> ClusterClient:
    return ClusterClient(urls_of(home), token=read_token(home / "token"))
