"""Tells people what the primary's outbox has for them: a line in the log, and a webhook if set."""

import asyncio
import logging
from typing import Final

import httpx

from services.central.roles.outbox import Notice
from services.central.roles.part import RolesPart
from shared.plain_http import PLAIN_HTTP

log = logging.getLogger(__name__)

LOOK_S: Final = 0.5
WEBHOOK_TIMEOUT_S: Final = 5.0


class Notifier:
    """Delivers each waiting notice while this central is the primary, and has that written down.

    A receiver that cannot confirm gets it again, with the same key: at most until it confirms.
    """

    def __init__(self, part: RolesPart, *, webhook_url: str | None) -> None:
        """webhook_url: gets a POST with JSON `{"key", "text", "epoch", "decided_ms"}`."""
        self._part = part
        self._webhook_url = webhook_url
        self._done: set[str] = set()

    async def run(self) -> None:
        """Deliver until cancelled."""
        # The authorities of the world are read only where somebody may be asked over HTTPS.
        verify = PLAIN_HTTP if self._webhook_url is None else True
        async with httpx.AsyncClient(
            timeout=WEBHOOK_TIMEOUT_S, trust_env=False, verify=verify
        ) as client:
            while True:
                await asyncio.sleep(LOOK_S)
                waiting = self._part.committed.outbox.waiting
                self._done &= waiting.keys()
                if not self._part.role.is_primary:
                    self._done.clear()
                    continue
                for key, notice in waiting.items():
                    if key not in self._done and await self._deliver(client, notice):
                        self._done.add(key)
                        self._part.delivered(key)

    async def _deliver(self, client: httpx.AsyncClient, notice: Notice) -> bool:
        if self._webhook_url is not None:
            content = {
                "key": notice.key,
                "text": notice.text,
                "epoch": notice.epoch,
                "decided_ms": notice.decided_ms,
            }
            try:
                answer = await client.post(
                    self._webhook_url, json=content, headers={"Idempotency-Key": notice.key}
                )
                answer.raise_for_status()
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                # The URL may carry a secret: only what went wrong is said.
                log.warning("webhook did not take a notice error=%s", type(error).__name__)
                return False
        log.warning("notice: %s", notice.text)
        return True
