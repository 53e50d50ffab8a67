"""A command that makes this machine a part of a system, and keeps it one while it runs."""

import asyncio
import signal
import sys
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import typer

from cli.admission import admission_of, may_renew
from cli.detached import start_detached
from cli.invite_file import go_on_without_token, keep_token, without_token
from cli.status import print_status
from shared.tasks import end_task


def stays_here(home: Path, token: str, *, detach: bool) -> bool:
    """Put the token where it belongs; return whether it is this process that goes on.

    False where another one, detached, is ready. Raises InviteTokenError, JoinRefused, StartError,
    HomeError, TlsError.
    """
    # A token is of no use to who has joined and needs no certificate, and must not lie about.
    if token and (admission_of(home) is None or may_renew(home, datetime.now(UTC))):
        keep_token(home, token)
    if detach:
        start_detached(home, without_token(sys.argv[1:]))
        print_status(home, as_json=False)
        return False
    if token:
        go_on_without_token()
    return True


async def until_stopped(
    work: Coroutine[Any, Any, None], end: Callable[[], Awaitable[None]]
) -> None:
    """Do `work`, which never ends well, until a signal says stop or it fails; then `end`.

    Raises what it failed with.
    """
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    working, stopping = asyncio.create_task(work), asyncio.create_task(stopped.wait())
    try:
        await asyncio.wait([working, stopping], return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
    finally:
        await end_task(stopping)
        await end_task(working)
        typer.echo("stopping", err=True)
        await end()
