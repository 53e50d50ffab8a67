"""A launcher in the background: its start, and when the command before it may return."""

import os
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import typer

from cli import running
from cli.supervise import last_line
from cli.system import import_path, launcher_log, python_module
from cli.terminal import fail

DETACH_TIMEOUT_S = 300.0
_DETACHED = "STEADFLOW_DETACHED"


def start_detached(
    home: Path, given: Sequence[str], *, timeout_s: float = DETACH_TIMEOUT_S
) -> bool:
    """Run a command in the background, without its `--detach`; returns when `home` is ready.

    Ends this command with that one's sentence when it does not become ready. False where it waits
    for something that may take for ever, and goes on with that: this was said.
    """
    command = [argument for argument in given if argument != "--detach"]
    log = launcher_log(home)
    try:
        # The mode is that of the last folder only.
        home.mkdir(parents=True, exist_ok=True, mode=0o700)
        log.parent.mkdir(exist_ok=True, mode=0o700)
        with log.open("ab") as output:
            process = subprocess.Popen(
                python_module("cli", *command),
                env=os.environ | import_path() | {_DETACHED: "1"},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
    except OSError as error:
        fail(f"--home {home} cannot be used: {error.strerror}")
    return until_ready(home, process, log, timeout_s=timeout_s)


def until_ready(
    home: Path, process: "subprocess.Popen[bytes]", log: Path, *, timeout_s: float
) -> bool:
    """Wait as `start_detached` says; log: what `process` prints to."""
    deadline_s = time.monotonic() + timeout_s
    while not (facts := _facts(home, process.pid)).get("ready"):
        if process.poll() is not None:
            fail(last_line(log))
        if sentence := facts.get("waits"):
            typer.echo(str(sentence), err=True)
            return False
        if time.monotonic() > deadline_s:
            process.terminate()
            fail(f"steadflow was not ready after {timeout_s:.0f} s: see {log.parent}")
        time.sleep(0.1)
    return True


def is_detached() -> bool:
    """Whether another command waits for this one and says what a person has to know."""
    return bool(os.environ.get(_DETACHED))


def _facts(home: Path, pid: int) -> dict[str, Any]:  # JSON
    facts = running.read(home)
    return facts if facts is not None and facts.get("pid") == pid else {}
