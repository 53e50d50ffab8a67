"""Whether a port of another machine can be connected to from here."""

import asyncio
from typing import Final

REACH_TIMEOUT_S: Final = 5.0


async def unreached(host: str, port: int) -> str:
    """Return why not, in a sentence; empty when it can."""
    try:
        async with asyncio.timeout(REACH_TIMEOUT_S):
            _, writer = await asyncio.open_connection(host, port)
            writer.close()
    except TimeoutError:
        return f"{host}:{port} does not answer within {REACH_TIMEOUT_S:g} s"
    except OSError as error:
        return f"{host}:{port}: {error.strerror or error}"
    return ""
