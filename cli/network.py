"""Other machines and this one: its certificate, and Kafka's listener as `network.json` says."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from cli.broker import configure
from cli.broker_settings import HOST, BrokerPlan, NetworkListener
from cli.ports import PortTaken, check_port
from cli.refusals import shown
from cli.supervise import ChildPlan, StartError, Supervisor
from shared.backoff import waits
from shared.network import (
    Network,
    NetworkError,
    Standing,
    Wish,
    read_network,
    take_wish,
    write_network,
    write_standing,
)
from shared.tls import TlsError, TlsFiles, make_authority, new_key_and_request, write_node
from shared.tls.renewal import needs_another

LOOK_S = 0.5
NODE = "launcher"


def network_file(home: Path) -> Path:
    """Return where `steadflow standby enable` writes."""
    return home / "network.json"


def tls_dir(home: Path) -> Path:
    """Return the folder of the authority and of this machine's certificate."""
    return home / "tls"


def prepare_tls(home: Path, *, hosts: Sequence[str] = ()) -> TlsFiles:
    """Return this machine's certificate for `hosts` and its own names, made where it is missing.

    The authority is made the first time. Raises TlsError, also for a host that is no name.
    """
    now = datetime.now(UTC)
    folder = tls_dir(home)
    authority = make_authority(folder, now=now)
    files = TlsFiles.in_directory(folder)
    names = list(dict.fromkeys(["localhost", HOST, *_own_name(), *hosts]))
    if needs_another(files, authority, hosts=names, now=now):
        made = new_key_and_request(NODE, names)
        certificate = authority.sign(made.request_pem, now=now)
        write_node(folder, made.key_pem, certificate, authority.certificate_pem)
    return files


def _own_name() -> list[str]:
    name = socket.gethostname()
    try:
        new_key_and_request(NODE, [name])
    except TlsError:
        return []
    return [name]


def machine_name() -> str:
    """Return what this machine is called where machines are listed."""
    return socket.gethostname().partition(".")[0][:64] or NODE


def with_network(plan: BrokerPlan, network: Network | None, tls: TlsFiles) -> BrokerPlan:
    """Return `plan` with the listener for other machines that was enabled, if any."""
    if network is None:
        return replace(plan, network=None)
    listener = NetworkListener(network.host, network.kafka_port, tls, network.bind)
    return replace(plan, network=listener)


class NetworkWatch:
    """Opens the running broker as `network.json` says, soon after it was written.

    `advertised.listeners` cannot be changed while a broker runs: it is restarted once, cleanly.
    """

    def __init__(
        self,
        home: Path,
        network: Network | None,
        *,
        broker: BrokerPlan | None,
        child_of: Callable[[BrokerPlan], ChildPlan],
        supervisor: Supervisor,
        changed: Callable[[], None],
        say: Callable[[str], None],
        meanwhile: Callable[[], AbstractAsyncContextManager[None]] = contextlib.nullcontext,
        closed: Callable[[], None] = lambda: None,
        plan: Callable[[Wish], Network] | None = None,
    ) -> None:
        """Begin with what the broker was started with; broker: None where it is none of ours.

        plan: makes what to show to others of a wish that a central left; raises as `plan_network`.
        changed: called after `noted` changed. meanwhile: entered while the broker is restarted
        to be open. closed: called once it runs again for this machine only.
        """
        self._home = home
        self._wanted = network
        self._open = network
        self._plan = broker
        self._child_of = child_of
        self._supervisor = supervisor
        self._changed = changed
        self._say = say
        self._meanwhile = meanwhile
        self._closed = closed
        self._plan_of = plan
        self._problem = ""
        self._refused: Network | None = None
        self._refusals = 0
        self._written_ns = _written_ns(network_file(home))

    @property
    def noted(self) -> dict[str, object]:
        """How it stands, for `run.json`.

        wanted: what the file said last. is_open: whether Kafka is open so. problem: why not what
        was asked for. refused: what could not be opened last; refusals: how often that was so.
        """
        return {
            "wanted": shown(self._wanted),
            "is_open": self._open == self._wanted,
            "problem": self._problem,
            "refused": shown(self._refused),
            "refusals": self._refusals,
        }

    async def run(self) -> None:
        """Look until cancelled."""
        self._tell()
        while True:
            await asyncio.sleep(LOOK_S)
            await self._look()

    async def _look(self) -> None:
        try:
            await self._take_wish()
            wanted = read_network(network_file(self._home))
        except (NetworkError, TlsError, PortTaken) as error:
            self._note(str(error))
            return
        written_ns = _written_ns(network_file(self._home))
        is_asked = written_ns != self._written_ns
        self._written_ns = written_ns
        if wanted == self._wanted:
            if is_asked and self._problem and self._open == wanted:
                self._note("")
            return
        self._wanted = wanted
        self._note("")
        if wanted != self._open:
            await self._restart(wanted)

    async def _take_wish(self) -> None:
        file = network_file(self._home)
        if self._plan_of is not None and (wish := take_wish(file)) is not None:
            self._note("")
            network = await asyncio.to_thread(self._plan_of, wish)
            write_network(file, network)

    async def _restart(self, wanted: Network | None) -> None:
        before = self._plan
        if before is not None:
            try:
                hosts = [] if wanted is None else [wanted.host]
                tls = await asyncio.to_thread(partial(prepare_tls, self._home, hosts=hosts))
                plan = with_network(before, wanted, tls)
                _check_free(plan, before)
                configure(plan)
            except (TlsError, PortTaken) as error:
                await self._keep_open(wanted)
                self._refuse(wanted, str(error))
                return
            self._say(f"restarting Kafka once, {_told(wanted)}")
            try:
                # Once it is closed all services begin again, the primary too: nobody to wait for.
                async with contextlib.nullcontext() if wanted is None else self._meanwhile():
                    await self._start_or_go_back(plan, before, wanted)
            except StartError as error:
                self._refuse(wanted, str(error))
                return
            self._plan = plan
            if plan.network is None:
                self._closed()
        self._open = wanted
        self._say(f"Kafka runs again, {_told(wanted)}")
        self._note("")

    async def _start_or_go_back(
        self, plan: BrokerPlan, before: BrokerPlan, wanted: Network | None
    ) -> None:
        """Restart by `plan`. Raises StartError once the broker runs again as it was before."""
        try:
            await self._supervisor.restart(self._child_of(plan))
        except StartError:
            await self._keep_open(wanted)
            await self._back_to(before)
            raise

    async def _back_to(self, plan: BrokerPlan) -> None:
        """Start the broker as it was, whatever it takes: everything here lives on it."""
        for wait_s in waits(first_s=0.2, longest_s=10.0):
            configure(plan)
            with contextlib.suppress(StartError):
                await self._supervisor.restart(self._child_of(plan))
                return
            await asyncio.sleep(wait_s)

    async def _keep_open(self, refused: Network | None) -> None:
        """Have certificate and file say again what is open: the next start would fail otherwise."""
        hosts = [] if self._open is None else [self._open.host]
        with contextlib.suppress(TlsError):
            await asyncio.to_thread(partial(prepare_tls, self._home, hosts=hosts))
        file = network_file(self._home)
        try:
            # What was written meanwhile is tried next.
            if read_network(file) == refused:
                _write(file, self._open)
                self._written_ns = _written_ns(file)
        except (NetworkError, OSError) as error:
            # Still wanted then, or Kafka would be restarted for it again and again.
            self._say(f"{file} keeps what was refused: {error}")
            return
        self._wanted = self._open

    def _refuse(self, network: Network | None, problem: str) -> None:
        self._refused = network
        self._refusals += 1
        self._note(problem)

    def _note(self, problem: str) -> None:
        if problem and problem != self._problem:
            self._say(problem)
        self._problem = problem
        self._tell()
        self._changed()

    def _tell(self) -> None:
        standing = Standing(self._open == self._wanted, self._problem)
        with contextlib.suppress(NetworkError):
            write_standing(network_file(self._home), standing)


def _check_free(plan: BrokerPlan, before: BrokerPlan) -> None:
    """Raise PortTaken where another program holds the port; the broker before may."""
    wanted, held = plan.network, before.network
    if wanted is not None and (held is None or held.port != wanted.port):
        check_port(wanted.bind, wanted.port, option="--kafka-port")
        option = "--kafka-port (its controller is above it)"
        check_port(wanted.bind, wanted.controller_port, option=option)


def _write(file: Path, network: Network | None) -> None:
    if network is None:
        file.unlink(missing_ok=True)
    else:
        write_network(file, network)


def _written_ns(file: Path) -> int:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return 0


def _told(network: Network | None) -> str:
    if network is None:
        return "for this machine only"
    return f"open to other machines at {network.host}:{network.kafka_port}"
