"""A running compose project of its own: commands to it, questions to its services."""

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from cli.ports import free_port, free_udp_port

ROOT = Path(__file__).parents[2]
CENTRALS = ("central-a", "central-b")
SUMS = ("flows", "bytes", "packets")
COMMAND_TIMEOUT_S = 900
DEADLINE_S = 240.0
"""Only a hang meets it: ten times what the slowest step takes on two busy cores."""

Totals = Mapping[str, int]


class Failed(Exception):
    """The rehearsal failed; the text says what was expected and what was found."""


@dataclass
class Project:
    """One compose file under a project name of its own, so that nobody's volumes are touched."""

    file: Path
    name: str
    udp_port: int
    web_port: int
    token: str = ""
    """Of the centrals, once one of them was asked for it."""

    @classmethod
    def of(cls, file: Path, name: str) -> Self:
        """Return a project on ports that are free now; nothing runs yet."""
        return cls(file, name, free_udp_port("127.0.0.1"), free_port(row=6))

    @property
    def environment(self) -> dict[str, str]:
        """The variables of the compose file."""
        return {
            "STEADFLOW_UDP_ADDRESS": "127.0.0.1",
            "STEADFLOW_UDP_PORT": str(self.udp_port),
            "STEADFLOW_CENTRAL_A_PORT": str(self.web_port),
            "STEADFLOW_CENTRAL_B_PORT": str(self.web_port + 1),
            "STEADFLOW_COLLECTOR_PORT": str(self.web_port + 2),
            "STEADFLOW_REGISTRY_PORT": str(self.web_port + 3),
            "STEADFLOW_REGISTRY_2_PORT": str(self.web_port + 4),
            "STEADFLOW_REGISTRY_3_PORT": str(self.web_port + 5),
        }

    def compose(self, *arguments: str, check: bool = True) -> str:
        """Run `docker compose ...` to its end; what it printed. Raises Failed."""
        command = ["docker", "compose", "-f", str(self.file), "-p", self.name, *arguments]
        return run(command, self.environment, check=check)

    def pause(self, service: str) -> None:
        """Freeze a service. Raises Failed."""

        def frozen() -> bool:
            # On a busy machine an old kernel may need more than one try to freeze every thread.
            with contextlib.suppress(Failed):
                self.compose("pause", service)
                return True
            return False

        wait_until(frozen, f"{service} is frozen")

    def cut(self, service: str) -> None:
        """Take a service out of the network that Kafka is in. Raises Failed."""
        run(["docker", "network", "disconnect", f"{self.name}_kafka", self._container(service)])

    def mend(self, service: str) -> None:
        """Put a service that was cut off into the network again. Raises Failed."""
        container = self._container(service)
        run(["docker", "network", "connect", "--alias", service, f"{self.name}_kafka", container])

    def _container(self, service: str) -> str:
        return self.compose("ps", "--quiet", service).strip()

    def inside(self, service: str, *command: str) -> str:
        """Run `command` in a running container. Raises Failed."""
        return self.compose("exec", "-T", service, *command)

    def ask(self, service: str, path: str, **parameters: str) -> Any:
        """Return a service's JSON, or None while it is away or not able to answer."""
        number = (*CENTRALS, "ingest").index(service)
        if not self.token:
            # Within a container no request comes from loopback: reading needs it too.
            with contextlib.suppress(Failed):
                self.token = self.inside("central-a", "cat", "/run/steadflow/token").strip()
        headers = {"Authorization": f"Bearer {self.token}"}
        url = f"http://127.0.0.1:{self.web_port + number}{path}"
        try:
            # No proxy: it is this machine that is asked.
            answer = httpx.get(url, params=parameters, headers=headers, timeout=30, trust_env=False)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == httpx.codes.OK else None

    def totals(
        self, centrals: Iterable[str], since: str, until: str
    ) -> dict[str, dict[str, int] | None]:
        """Return each central's sums over a period (RFC 3339); None of one that does not answer."""
        found: dict[str, dict[str, int] | None] = {}
        for central in centrals:
            said = self.ask(central, "/api/v1/totals", **{"from": since, "to": until})
            found[central] = None if said is None else {name: said[name] for name in SUMS}
        return found

    def received_datagrams(self) -> int:
        """Return how many datagrams this life of the receiver has written to the spool."""
        said = self.ask("ingest", "/api/v1/status")
        return 0 if said is None else int(said["workers"][0]["receiver"].get("datagrams", 0))


def run(
    command: Sequence[str], environment: Mapping[str, str] | None = None, *, check: bool = True
) -> str:
    """Run a command to its end; its standard output. Raises Failed with the end of its errors."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_S,
        check=False,
    )
    if check and done.returncode:
        said = "\n".join((done.stderr or done.stdout).splitlines()[-15:])
        raise Failed(f"{' '.join(command)} ended with {done.returncode}:\n{said}")
    return done.stdout


def wait_until(condition: Callable[[], bool], what: str, deadline_s: float = DEADLINE_S) -> None:
    """Return once `condition` holds. Raises Failed with `what` after the deadline."""
    end_s = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > end_s:
            raise Failed(f"not within {deadline_s:.0f} s: {what}")
        time.sleep(0.5)


def added(totals: Iterable[Totals]) -> dict[str, int]:
    """Return the sum of several totals."""
    every = list(totals)
    return {name: sum(each[name] for each in every) for name in SUMS}


def decoded(lines: Iterable[str]) -> dict[str, int]:
    """Return the totals of what `steadflow decode` prints, one JSON object a flow."""
    flows = [json.loads(line) for line in lines]
    return {
        "flows": len(flows),
        "bytes": sum(flow["bytes"] for flow in flows),
        "packets": sum(flow["packets"] for flow in flows),
    }
