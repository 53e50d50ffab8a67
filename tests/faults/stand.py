"""Registries, centrals and a collector of their own, started one by one on a broker.

Unlike `steadflow up` nobody watches them: what is killed stays dead, and gives no death notice.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from cli.broker import Broker
from cli.ports import free_port, free_udp_port
from shared.parent import die_with_parent
from shared.token import make_token
from tests.faults.proxy import HOST, Proxy, proxy
from tests.faults.system import ROOT
from tests.waiting import wait_until

DEADLINE_S = 120
REGISTRY = "registry-1"


@dataclass
class Process:
    """One service that was started."""

    url: str
    popen: "subprocess.Popen[bytes]"


@dataclass
class Stand:
    """What runs, by name.

    proxy: between the broker and whoever is given its address. code: the folder whose files are
    run by whatever is started from now on.
    """

    folder: Path
    broker: Broker
    proxy: Proxy
    client: httpx.Client
    udp_port: int
    code: Path = ROOT
    processes: dict[str, Process] = field(default_factory=dict)
    _ports: dict[str, int] = field(default_factory=dict)

    @property
    def through_proxy(self) -> str:
        """Bootstrap servers of a client whose every connection shall go through the proxy."""
        return f"{HOST}:{self.proxy.port}"

    def start_registry(self, name: str = REGISTRY, **settings: object) -> None:
        self._start(name, "services.registry", "registry", {}, settings)

    def start_central(
        self,
        name: str,
        *,
        called: str = "",
        module: str = "services.central",
        env: Mapping[str, str] | None = None,
        **settings: object,
    ) -> None:
        """Start one; `called`: its name in the cluster, when that shall be another one."""
        own = {"data_dir": self.folder / name, "priority": 100, **settings}
        self._start(name, module, "central", env or {}, own, called)

    def start_collector(self, name: str = "collector-1") -> None:
        own = {"spool_dir": self.folder / name / "spool", "udp_port": self.udp_port}
        self._start(name, "services.ingest", "ingest", {}, own)

    def _start(
        self,
        name: str,
        module: str,
        kind: str,
        env: Mapping[str, str],
        settings: Mapping[str, object],
        called: str = "",
    ) -> None:
        # Started again it is where it was.
        port = self._ports.setdefault(name, free_port())
        whole: dict[str, object] = {
            "name": called or name,
            "http_port": port,
            "bootstrap_servers": self.broker.bootstrap_servers,
            "token_file": self.folder / "token",
            **settings,
        }
        prefix = f"STEADFLOW_{kind.upper()}_"
        named = {f"{prefix}{key.upper()}": str(value) for key, value in whole.items()}
        with (self.folder / f"{name}.log").open("ab") as log:
            popen = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                cwd=self.code,
                env={**os.environ, "PYTHONPATH": str(self.code), **named, **env},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )
        self.processes[name] = Process(f"http://{HOST}:{port}", popen)

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal that ends a process, and wait for its end."""
        process = self.processes.pop(name).popen
        process.send_signal(number)
        process.send_signal(signal.SIGCONT)
        process.wait(DEADLINE_S)

    def pid(self, name: str) -> int:
        return self.processes[name].popen.pid

    def url(self, name: str) -> str:
        return self.processes[name].url

    def get(self, name: str, path: str, **parameters: str) -> Any:
        """Return a JSON answer; None without one, or when it is no."""
        try:
            answer = self.client.get(self.url(name) + path, params=parameters)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def log(self, name: str) -> str:
        """Return what a process has printed."""
        return (self.folder / f"{name}.log").read_text()

    def acts(self, name: str) -> bool:
        return self.get(name, "/primary") is not None

    def ask_switchover(self, to: str) -> httpx.Response:
        """Ask the registry to hand the role to `to`; returns its answer."""
        token = (self.folder / "token").read_text().strip()
        return self.client.post(
            self.url(REGISTRY) + "/switchover",
            json={"to": to},
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )

    def wait_acts(self, name: str) -> None:
        wait_until(lambda: self.acts(name), f"{name} acts", DEADLINE_S)

    def wait_standby(self, name: str) -> None:
        """Return once `name` is the best one to take over."""

        def could() -> bool:
            answer = self.get(REGISTRY, "/standby")
            return answer is not None and answer["nodes"][0]["name"] == name

        wait_until(could, f"{name} could take over", DEADLINE_S)


@contextlib.contextmanager
def stand(folder: Path) -> Iterator[Stand]:
    """A broker with a second listener behind a proxy, and nothing else yet."""
    broker = Broker.alone(folder / "kafka", port=free_port(row=2))
    inner, outer = free_port(), free_port()
    make_token(folder / "token")
    with proxy(outer, inner) as between, httpx.Client(timeout=2, trust_env=False) as client:
        made = Stand(folder, broker, between, client, free_udp_port(HOST))
        try:
            broker.start(settings=_listeners(broker, inner=inner, outer=outer))
            yield made
        finally:
            for name in reversed(list(made.processes)):
                made.end(name)
            broker.kill()


def _listeners(broker: Broker, *, inner: int, outer: int) -> dict[str, str]:
    """Return the settings of a broker that tells clients of `inner` to connect to `outer`."""
    plan = broker.plan
    plain, controller = f"PLAINTEXT://{HOST}:{plan.port}", f"CONTROLLER://{HOST}"
    controller = f"{controller}:{plan.controller_port}"
    return {
        "listeners": f"{plain},PROXIED://{HOST}:{inner},{controller}",
        "advertised.listeners": f"{plain},PROXIED://{HOST}:{outer},{controller}",
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,PROXIED:PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
    }
