"""Tells the primary how far this machine is, so that its Failover page shows it."""

import asyncio
import json
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import httpx

from services.standby.joining import Joining, Phase, to_json
from shared.tls import TlsError, TlsFiles, https_client_context
from shared.token import TokenError

log = logging.getLogger(__name__)

LOOK_S: Final = 1.0
EVERY_S: Final = 10.0
"""Also when nothing changed: what was told is in a memory only, which may be another one now."""
AFTER_FAILURE_S: Final = 10.0
TIMEOUT_S: Final = 10.0
TEXT_CHARACTERS: Final = 300
_PATH: Final = "/api/v1/join/progress"


def is_due(told: Joining | None, now: Joining, since_s: float) -> bool:
    """Whether `now` is to be told, `since_s` after `told` was."""
    return told is None or now != told or since_s >= EVERY_S


def report_of(
    joining: Joining, *, name: str, copies_only: bool, told: Joining | None = None
) -> dict[str, Any]:
    """Return the body of a report, no text of it longer than the primary takes.

    told: what the primary was told last. What was forced is told once: it is recorded there.
    """
    content = to_json(joining)
    of_it = (
        "phase", "lines", "checked_ms", "bytes_done", "bytes_total", "bytes_per_s", "eta_s", "pace",
        "pace_light", "problem", "is_stuck", "forced_ms",
    )  # fmt: skip
    report: dict[str, Any] = {name: content[name] for name in of_it}
    report |= {
        "name": name,
        "says": joining.phase.value,
        "problem": joining.problem or joining.again,
        "copies_only": copies_only,
    }
    if told is None or (told.forced, told.forced_ms) != (joining.forced, joining.forced_ms):
        report["forced"] = list(joining.forced)
    return {name: _cut(value) for name, value in report.items()}


def _cut(value: Any) -> Any:  # JSON in, JSON out
    match value:
        case str():
            return value[:TEXT_CHARACTERS]
        case dict():
            return {name: _cut(each) for name, each in value.items()}
        case list():
            return [_cut(each) for each in value]
        case _:
            return value


class Reporter:
    """Sends what is due, to the first central that takes it."""

    def __init__(
        self,
        centrals: Callable[[], Sequence[str]],
        *,
        joining: Callable[[], Joining],
        name: str,
        copies_only: bool,
        tls: TlsFiles,
        token: Callable[[], str],
        now_s: Callable[[], float],
    ) -> None:
        """Open nothing yet.

        centrals: URLs of all that are known, tried in turn: each passes a report on to the primary.
        token: returns the cluster's token; raises TokenError. now_s: must not fall.
        """
        self._centrals = centrals
        self._joining = joining
        self._name, self._copies_only = name, copies_only
        self._tls = tls
        self._token = token
        self._now_s = now_s

    async def run(self) -> None:
        """Tell until cancelled."""
        told: Joining | None = None
        told_s = 0.0
        while True:
            now = self._joining()
            # Before it is admitted it has no certificate to show.
            is_admitted = now.phase is not Phase.REGISTERING
            if is_admitted and is_due(told, now, self._now_s() - told_s):
                if await self._tell(now, told):
                    told, told_s = now, self._now_s()
                else:
                    await asyncio.sleep(AFTER_FAILURE_S)
            await asyncio.sleep(LOOK_S)

    async def _tell(self, joining: Joining, told: Joining | None) -> bool:
        body = json.dumps(
            report_of(joining, name=self._name, copies_only=self._copies_only, told=told)
        )
        said = "there is nobody to be told"
        try:
            headers = {
                "Authorization": f"Bearer {self._token()}", "Content-Type": "application/json"
            }  # fmt: skip
            context = await asyncio.to_thread(https_client_context, self._tls)
        except (TokenError, TlsError, OSError) as error:
            log.warning("not reported error=%s", error)
            return False
        async with httpx.AsyncClient(verify=context, timeout=TIMEOUT_S, trust_env=False) as client:
            for url in self._centrals():
                try:
                    answer = await client.post(f"{url}{_PATH}", content=body, headers=headers)
                except (httpx.HTTPError, httpx.InvalidURL) as error:
                    said = f"{url}: {str(error) or type(error).__name__}"
                    continue
                if answer.is_success:
                    return True
                said = f"{url} answers {answer.status_code}"
        log.warning("not reported error=%s", said)
        return False
