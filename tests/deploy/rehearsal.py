"""`make compose-test`: the compose files brought up, broken, compared and taken down.

Functional only: it says nothing about speed. Everything runs under project names of its own, on
ports that are free, and is taken down whatever happens.
"""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence

from tests.deploy import one_machine, three_hosts, three_machines
from tests.deploy.containers import Failed
from tests.deploy.under_test import say

PARTS: Mapping[str, Callable[[], None]] = {
    "single": one_machine.rehearse,
    "cluster": three_hosts.rehearse,
    "machines": three_machines.rehearse,
}
LIMIT_S = 3600
"""After so long SIGALRM ends it, and everything is taken down."""


def main(arguments: Sequence[str]) -> int:
    """Rehearse the parts that are named, or all; the exit code."""
    unknown = set(arguments) - set(PARTS)
    if unknown or shutil.which("docker") is None:
        sys.stderr.write(f"needs docker with compose; arguments: {', '.join(PARTS)} or none\n")
        return 2

    def ended(number: int, frame: object) -> None:
        raise Failed(f"ended by signal {number}")

    signal.signal(signal.SIGTERM, ended)
    signal.signal(signal.SIGALRM, ended)
    signal.alarm(LIMIT_S)
    begun = time.monotonic()
    try:
        for name in arguments or PARTS:
            PARTS[name]()
    except (Failed, subprocess.TimeoutExpired, KeyboardInterrupt) as error:
        say(f"FAILED after {time.monotonic() - begun:.0f} s: {str(error) or type(error).__name__}")
        return 1
    say(f"PASSED after {time.monotonic() - begun:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
