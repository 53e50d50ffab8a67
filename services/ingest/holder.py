"""The socket holder: owns the sockets of all workers, and keeps their processes running.

The sockets live here so that a killed receiver costs nothing: the kernel goes on filling their
buffers, and the next receiver goes on emptying them.
"""

import asyncio
import logging
import os
import socket
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.ingest.children import Child, ChildPlan
from services.ingest.config import IngestConfig
from services.ingest.publish.tally import read_tally
from services.ingest.receive.reuseport import ask_receive_buffer, receive_queue_bytes
from services.ingest.spool.reader import Segment, segments, spool_bytes
from services.ingest.status import Fact, Role, read_status
from shared.health import Health
from shared.host_port import host_port

log = logging.getLogger(__name__)

ROLES: tuple[Role, ...] = ("receiver", "decoder")
MODULES: Mapping[Role, str] = {
    "receiver": "services.ingest.receive.receiver",
    "decoder": "services.ingest.publish.decoder",
}
RECEIVER_STOP_S = 5.0
DECODER_STOP_S = 8.0
"""The decoder goes on for 5 s to publish what the receiver wrote last."""
_WATCH_S = 0.25

CommandOf = Callable[[Role, int, int], list[str]]
"""Gives the command line of a worker's process from its role, index and socket descriptor."""


def command_of(role: Role, worker: int, file: int) -> list[str]:
    """Return the command line of a worker's process, on this interpreter."""
    arguments = ["--worker", str(worker), "--parent", str(os.getpid())]
    if role == "receiver":
        arguments += ["--socket", str(file)]
    # -P: a folder called `services` where the user happens to stand is not ours.
    return [sys.executable, "-P", "-m", MODULES[role], *arguments]


def environment_of(config: IngestConfig, own: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of the children: all settings as they hold here, files left aside."""
    prefix = str(config.model_config.get("env_prefix", ""))
    environment = {name: value for name, value in own.items() if not name.startswith(prefix)}
    places = [str(Path(__file__).parents[2]), own.get("PYTHONPATH", "")]
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, places))
    for name, value in config.model_dump(mode="json").items():
        if value is not None:
            environment[f"{prefix}{name.upper()}"] = str(value)
    # Children belong to this holder's place, also when they are started from another folder.
    environment[f"{prefix}SPOOL_DIR"] = str(config.spool_dir.absolute())
    return environment


class Holder:
    """One collector's sockets and children; one per process.

    buffers: receive buffer that each socket got, bytes.
    """

    def __init__(
        self,
        config: IngestConfig,
        sockets: list[socket.socket],
        *,
        health: Health,
        command: CommandOf = command_of,
    ) -> None:
        """sockets: bound, in worker order; owned by the caller. command: replaced by tests."""
        self.config = config
        self._sockets = sockets
        self._health = health
        environment = environment_of(config, os.environ)
        self.children: dict[tuple[Role, int], Child] = {}
        for role in ROLES:
            for worker, sock in enumerate(sockets):
                file = sock.fileno()
                plan = ChildPlan(
                    f"{role}-{worker}",
                    command(role, worker, file),
                    environment,
                    (file,) if role == "receiver" else (),
                )
                self.children[role, worker] = Child(plan)
        self.buffers = [ask_receive_buffer(sock, config.receive_buffer_bytes) for sock in sockets]
        if min(self.buffers) < config.receive_buffer_bytes:
            log.warning(
                "receive buffer is smaller than asked given_bytes=%d asked_bytes=%d: raise the "
                "sysctl net.core.rmem_max, or grant CAP_NET_ADMIN",
                min(self.buffers),
                config.receive_buffer_bytes,
            )

    async def run(self) -> None:
        """Keep all children running and the conditions true until cancelled; then stop them."""
        keepers = [asyncio.create_task(child.keep()) for child in self.children.values()]
        try:
            while True:
                self._watch()
                ended = [task for task in keepers if task.done()]
                for task in ended:
                    # Only a child that cannot be started at all ends its keeper.
                    task.result()
                await asyncio.sleep(_WATCH_S)
        finally:
            await self._stop()
            for task in keepers:
                task.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    async def _stop(self) -> None:
        """Stop the receivers first: the decoders then publish their streams to the end mark."""
        for role, timeout_s in zip(ROLES, (RECEIVER_STOP_S, DECODER_STOP_S), strict=True):
            its = [child for (of, _), child in self.children.items() if of == role]
            await asyncio.gather(*(child.stop(timeout_s) for child in its))

    def _watch(self) -> None:
        self._health.turned("watch")
        for (role, worker), child in self.children.items():
            condition = f"{role}-{worker}"
            status = read_status(self.config.worker_dir(worker), role)
            if child.pid is None:
                self._health.unmet(condition, "the process is not running")
            elif status is None or status.pid != child.pid:
                self._health.unmet(condition, "starting")
            elif status.reasons:
                self._health.unmet(condition, "; ".join(status.reasons.values()))
            else:
                self._health.met(condition)

    @property
    def restarts(self) -> dict[tuple[str, str], int]:
        """Return how often each process was started again, by role and `name/index`."""
        return {
            (role, self.config.worker_key(worker)): child.restarts
            for (role, worker), child in self.children.items()
        }

    @property
    def pids(self) -> dict[tuple[str, str], int | None]:
        """Return the pid of each process, None while it is down, by role and `name/index`."""
        return {
            (role, self.config.worker_key(worker)): child.pid
            for (role, worker), child in self.children.items()
        }

    @property
    def buffers_by_worker(self) -> dict[str, int]:
        """Return the receive buffer of each socket, bytes, by `name/index`."""
        return {self.config.worker_key(w): given for w, given in enumerate(self.buffers)}

    def queues_by_worker(self) -> dict[str, int]:
        """Return what lies unread in each socket, bytes, by `name/index`."""
        return {
            self.config.worker_key(worker): receive_queue_bytes(sock)
            for worker, sock in enumerate(self._sockets)
        }

    def by_worker(self, role: Role) -> dict[str, Mapping[str, Fact]]:
        """Return what each worker's process of `role` told last, by `name/index`."""
        found = {}
        for worker in range(self.config.workers):
            status = read_status(self.config.worker_dir(worker), role)
            if status is not None:
                found[self.config.worker_key(worker)] = status.facts
        return found

    def tallies(self) -> dict[str, Mapping[tuple[str, ...], float]]:
        """Return what each worker's decoder counted, by `name/index`."""
        return {
            self.config.worker_key(worker): read_tally(self.config.worker_dir(worker))
            for worker in range(self.config.workers)
        }

    def spool_sizes(self) -> dict[str, int]:
        """Return the bytes of each worker's spool, by `name/index`."""
        return {
            self.config.worker_key(worker): spool_bytes(self.config.worker_dir(worker))
            for worker in range(self.config.workers)
        }

    def spool_bounds(self) -> dict[str, int]:
        """Return the bytes above which each worker's spool discards, by `name/index`."""
        bound = self.config.spool_bytes_max
        return {self.config.worker_key(worker): bound for worker in range(self.config.workers)}

    def status(self) -> dict[str, Any]:
        """Return the facts of `/api/v1/status`; reads files of every worker."""
        host, port = self._sockets[0].getsockname()[:2]
        return {
            "name": self.config.name,
            "udp": host_port(host, port),
            "pid": os.getpid(),
            "ready": self._health.ready,
            "reasons": self._health.reasons,
            "workers": [self._worker_status(worker) for worker in range(self.config.workers)],
        }

    def _worker_status(self, worker: int) -> dict[str, Any]:
        directory = self.config.worker_dir(worker)
        receiver, decoder = (read_status(directory, role) for role in ROLES)
        receiver_facts = dict(receiver.facts) if receiver else {}
        decoder_facts = dict(decoder.facts) if decoder else {}
        kept = [segment for segment in segments(directory) if segment.header is not None]
        return {
            "worker": worker,
            "key": self.config.worker_key(worker),
            "receiver_pid": self.children["receiver", worker].pid,
            "decoder_pid": self.children["decoder", worker].pid,
            "receiver_restarts": self.children["receiver", worker].restarts,
            "decoder_restarts": self.children["decoder", worker].restarts,
            "receive_buffer_bytes": self.buffers[worker],
            "spool_bytes": sum(segment.bytes for segment in kept),
            "unread_bytes": decoder_facts.get("unread_bytes"),
            "unread_datagrams": decoder_facts.get("unread_datagrams"),
            "last_acknowledged": {
                "stream": decoder_facts.get("stream"),
                "number": decoder_facts.get("acknowledged"),
            },
            "last_received": {
                "stream": receiver_facts.get("stream"),
                "number": receiver_facts.get("number"),
            },
            "streams": _streams(kept),
            "receiver": receiver_facts,
            "decoder": decoder_facts,
        }


def _streams(kept: list[Segment]) -> list[dict[str, Any]]:
    """Return the streams that a spool holds, oldest first."""
    found: dict[int, dict[str, Any]] = {}
    for segment in kept:
        header = segment.header
        if header is None:
            continue
        stream = found.setdefault(
            header.stream,
            {
                "stream": f"{header.stream:016x}",
                "started_at": datetime.fromtimestamp(header.started_at_ms / 1_000, UTC).isoformat(),
                "partitions": header.partitions,
                "spool_bytes": 0,
            },
        )
        stream["spool_bytes"] += segment.bytes
    return list(found.values())
