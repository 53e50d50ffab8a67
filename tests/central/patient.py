"""A client of a central that may lose the role for a moment, and take it again."""

import asyncio
import time

import httpx

PATIENCE_S = 30.0
PAUSE_S = 0.05
ABOUT_TO_ACT = b"is about to act, try again in a moment"


class PatientTransport(httpx.ASGITransport):
    """Asks again when told to, as a person would: on a busy machine ticks come late."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Return the first answer that is another one."""
        end_s = time.monotonic() + PATIENCE_S
        while True:
            answer = await super().handle_async_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            said = await answer.aread()
            if ABOUT_TO_ACT not in said or time.monotonic() > end_s:
                return answer
            await asyncio.sleep(PAUSE_S)
