"""From one machine to three, by the commands a person runs, under load."""

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cli import running
from cli.network import machine_name
from cli.ports import free_port, free_udp_port
from shared.kafka import Brokers
from shared.tls import TlsFiles
from tests.faults.disks import small_block_disk
from tests.faults.machines import (
    CENTRALS,
    COLLECTOR,
    STANDBY,
    WITNESS,
    Machine,
    Machines,
    is_whole,
)
from tests.faults.places import network_of
from tests.faults.system import ROOT, traffic_to
from tests.waiting import wait_until

DEADLINE_S = 600
RATE = 200
DISK_MIB = 2048


class Invited(NamedTuple):
    """A line for another machine. words: of the command, which is run again without the token."""

    home: Path
    words: list[str]
    token: str


@contextlib.contextmanager
def first_machine(
    folder: Path, *, small_disks: bool = False, code: Path = ROOT, far_ms: float = 0
) -> Iterator[Machines]:
    """One machine, open to others, and two bare ones; all are ended whatever happened.

    small_disks: brokers and centrals are on disks that can be filled and slowed down, where that is
    allowed. code: the folder whose files run on all three. far_ms: how long what goes to the third,
    or comes from it, is on its way; it then says that it is at another site.
    """
    with contextlib.ExitStack() as stack:
        for name in ("one", "two", "three") if small_disks else ():
            stack.enter_context(small_block_disk(folder / name, size_mib=DISK_MIB))
        network = stack.enter_context(network_of(4, {2: far_ms} if far_ms else {}))
        here, there, third, observer = network.places
        home = folder / "one"
        with here.inside():
            web, kafka = free_port(row=4), free_port(row=5)
            https, network_kafka = free_port(row=2), free_port(row=2)
            udp = free_udp_port("127.0.0.1")
        up = [
            "up", "--no-browser", "--no-traffic", "--udp-port", str(udp),
            "--web-port", str(web), "--kafka-port", str(kafka),
        ]  # fmt: skip
        first = Machine(machine_name(), here, CENTRALS, {home: up}, code)
        standby = Machine(STANDBY, there, (STANDBY,), code=code)
        witness = Machine(WITNESS, third, code=code)
        try:
            first.start()
            first.run(
                "standby", "enable", "--host", here.host, "--bind", here.bind,
                "--https-port", str(https), "--kafka-port", str(network_kafka),
                "--home", str(home),
            )  # fmt: skip
            servers = f"{here.host}:{network_kafka}"
            brokers = Brokers(servers, TlsFiles.in_directory(home / "tls"))
            yield Machines(network, first, standby, witness, observer, brokers)
        finally:
            for machine in (witness, standby, first):
                machine.stop(check=False)


@contextlib.contextmanager
def collecting(machines: Machines, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The third machine becomes a collector; traffic is sent to it for the block."""
    place = machines.witness.place
    with place.inside():
        udp, web = free_udp_port("127.0.0.1"), free_port()
    invited = _invited(
        machines, "collector", folder / "collector", "--name", COLLECTOR,
        "--udp-host", "127.0.0.1", "--udp-port", str(udp), "--web-port", str(web),
    )  # fmt: skip
    _join(machines.witness, invited)
    with contextlib.ExitStack() as stack:
        with place.inside():
            sending = stack.enter_context(
                traffic_to(udp, "--rate", str(RATE), "--duration", "0", "--templates", "once")
            )
        yield sending


def grow(machines: Machines, folder: Path) -> None:
    """A standby joins, then a witness; at each size it is said what it survives."""
    started_s = time.monotonic()
    _join(machines.standby, invited_standby(machines, folder / "two"))
    wait_until(
        lambda: _brokers(machines)["owed"] is None and len(_brokers(machines)["machines"]) == 2,
        "two machines hold the log", DEADLINE_S,
    )  # fmt: skip
    said = " ".join(_brokers(machines)["survives"])
    assert f"the loss of {STANDBY} stops nothing" in said
    assert "witness invite" in said
    _join(machines.witness, invited_witness(machines, folder / "three"))
    wait_until(
        lambda: is_whole(machines.facts(), machines.first.name), "three whole machines",
        DEADLINE_S, 1.0,
    )  # fmt: skip
    print(f"  from one machine to three in {time.monotonic() - started_s:.1f} s", flush=True)
    wait_until(
        lambda: "any one machine may die" in " ".join(_brokers(machines)["survives"]),
        "it is said that any one machine may die", DEADLINE_S,
    )  # fmt: skip


def invited_standby(machines: Machines, home: Path) -> Invited:
    """Invite the standby's machine."""
    place = machines.standby.place
    with place.inside():
        https, web, kafka = free_port(), free_port(row=3), free_port(row=3)
    return _invited(
        machines, "standby", home, "--name", machines.standby.name, "--force",
        "--host", place.host, "--bind", place.bind, "--https-port", str(https),
        "--web-port", str(web), "--kafka-port", str(kafka),
    )  # fmt: skip


def invited_witness(machines: Machines, home: Path) -> Invited:
    """Invite the witness's machine."""
    place = machines.witness.place
    # An earlier release does not know the option.
    site = ["--site", place.site] if place.site else []
    with place.inside():
        web, kafka = free_port(), free_port(row=3)
    return _invited(
        machines, "witness", home, "--name", WITNESS, "--host", place.host, "--bind", place.bind,
        "--web-port", str(web), "--kafka-port", str(kafka), *site,
    )  # fmt: skip


def _invited(machines: Machines, role: str, home: Path, *more: str) -> Invited:
    (first_home,) = machines.first.commands
    printed = ""

    def is_invited() -> bool:
        nonlocal printed
        printed = machines.first.run(
            role, "invite", "--home", str(first_home), "--json", check=False
        )
        return bool(printed)

    # Nobody invites in the moment in which the role moves.
    wait_until(is_invited, f"a {role} is invited", DEADLINE_S)
    _steadflow, *words = json.loads(printed)["line"].split()
    token = words.pop(words.index("--token") + 1)
    words.remove("--token")
    return Invited(home, [*words, *more], token)


def _join(joining: Machine, invited: Invited) -> None:
    home, words, token = invited
    joining.commands[home] = words

    def has_joined() -> bool:
        joining.run(*words, "--token", token, "--home", str(home), "--detach", check=False)
        return running.is_held(home)

    # On a busy machine it gives up after minutes; run again, it goes on where it was.
    wait_until(has_joined, f"{joining.name} joins", DEADLINE_S)


def _brokers(machines: Machines) -> dict[str, Any]:
    """Return what a central says of the machines."""
    url = machines.first.noted("centrals")[CENTRALS[0]]
    nothing = {"machines": [], "owed": "no answer", "survives": []}
    return machines.first.get(f"{url}/api/v1/brokers") or nothing
