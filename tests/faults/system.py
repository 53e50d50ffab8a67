"""A whole running system in a folder of its own, started as a user would, to be broken by tests."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from cli import running as home_of
from cli.ports import free_port, free_udp_port
from cli.status import gather
from shared.plain_http import PLAIN_HTTP
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
SUMS = ("flows", "bytes", "packets")
STEADFLOW = [sys.executable, "-m", "cli"]


@dataclass
class System:
    """A running steadflow: `processes` names what can be killed, `ask` asks a central."""

    home: Path
    udp_port: int
    kafka_port: int
    web_port: int
    bootstrap_servers: str = ""
    """Of a Kafka that runs already; empty to start one."""
    env: dict[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one `steadflow` command to its end."""
        return steadflow(*arguments, env=self.env, check=check)

    def up(self, *, workers: int = 1) -> None:
        """Start everything and return when it is ready."""
        servers = self.bootstrap_servers
        self.run(
            "up", "--home", str(self.home), "--detach", "--no-browser", "--no-traffic",
            *(["--bootstrap-servers", servers] if servers else []),
            "--udp-port", str(self.udp_port), "--kafka-port", str(self.kafka_port),
            "--web-port", str(self.web_port), "--workers", str(workers),
        )  # fmt: skip

    def down(self) -> None:
        """Stop everything."""
        self.run("down", "--home", str(self.home), check=False)

    def status(self) -> dict[str, Any]:
        """Return what `steadflow status --json` prints, without a process of its own each time."""
        facts = gather(self.home)
        assert facts["running"], f"nothing runs in {self.home}"
        return facts

    def ask(self, central: str, path: str, **parameters: str) -> Any:
        """Return a central's JSON answer, or None while it is away."""
        for noted in self._noted()["centrals"]:
            if noted["name"] == central:
                return self._get(noted["url"] + path, parameters)
        raise AssertionError(f"no central {central}")

    def _noted(self) -> dict[str, Any]:
        """Return what the launcher noted: nobody else has to be asked."""
        noted = home_of.read(self.home)
        assert noted is not None, f"nothing runs in {self.home}"
        return noted

    def _get(self, url: str, parameters: dict[str, str] | None = None) -> Any:
        try:
            answer = httpx.get(
                url, params=parameters, timeout=30, trust_env=False, verify=PLAIN_HTTP
            )
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def processes(self) -> dict[str, list[int]]:
        """Return the pids by role: broker, registry-1, central-a, central-b, holder and so on."""
        noted = self._noted()
        roles: dict[str, list[int | None]] = {"broker": [noted["broker"]["pid"]]}
        for each in (*noted["registries"], *noted["centrals"]):
            roles[each["name"]] = [each["pid"]]
        for collector in noted["collectors"]:
            roles.setdefault("holder", []).append(collector["pid"])
            answer = self._get(collector["url"] + "/api/v1/status") or {"workers": []}
            for worker in answer["workers"]:
                for role in ("receiver", "decoder"):
                    roles.setdefault(role, []).append(worker[f"{role}_pid"])
        return {role: [pid for pid in pids if pid is not None] for role, pids in roles.items()}


def steadflow(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    check: bool = True,
    code: Path = ROOT,
) -> subprocess.CompletedProcess[str]:
    """Run one `steadflow` command to its end. code: the folder whose files are run."""
    done = subprocess.run(
        [*STEADFLOW, *arguments],
        cwd=code,
        env=os.environ | {"PYTHONPATH": str(code)} | dict(env or {}),
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"steadflow {arguments}: {done.stdout}\n{done.stderr}")
    return done


def kill(pid: int, number: signal.Signals = signal.SIGKILL) -> bool:
    """Send a signal; False when the process was gone already."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def running(
    home: Path,
    *,
    workers: int = 1,
    env: dict[str, str] | None = None,
    bootstrap_servers: str = "",
) -> Iterator[System]:
    """A system that is stopped at the end, whatever happened.

    bootstrap_servers: of a Kafka that runs already; empty to start one.
    """
    system = System(
        home=home,
        udp_port=free_udp_port("127.0.0.1"),
        kafka_port=free_port(row=5),
        web_port=free_port(row=4),
        env=env or {},
        bootstrap_servers=bootstrap_servers,
    )
    try:
        system.up(workers=workers)
        yield system
    finally:
        system.down()


@contextmanager
def traffic(system: System, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Generated traffic to the system's collector, ended with the block at the latest."""
    with traffic_to(system.udp_port, *arguments) as process:
        yield process


@contextmanager
def traffic_to(udp_port: int, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """The same to a port of loopback."""
    command: Sequence[str] = [
        *STEADFLOW, "traffic", "--to", f"127.0.0.1:{udp_port}", "--json", *arguments
    ]  # fmt: skip
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        # Asked to end before it has begun it would say nothing of what it sent.
        wait_until(lambda: has_begun(process), "it sends", 60)
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.communicate(timeout=30)


def sums_of(answer: Mapping[str, Any] | None) -> dict[str, int] | None:
    """Return the sums of a central's totals; None where it gave none."""
    return None if answer is None else {name: answer[name] for name in SUMS}


def stop_sending(sending: "subprocess.Popen[str]") -> dict[str, int]:
    """End the traffic; returns what was sent in all."""
    sending.terminate()
    facts: dict[str, int] = json.loads(sending.communicate(timeout=60)[0])
    return {name: facts[name] for name in SUMS}


def has_begun(process: "subprocess.Popen[str]") -> bool:
    """Whether a sender has a socket, or ended already."""
    try:
        return bool(psutil.Process(process.pid).net_connections("udp"))
    except psutil.Error:
        return True
