"""What is said of a join as it goes on, and what is noted of the machine that joins."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum, auto
from typing import Any

import typer
from rich.console import Console
from rich.table import Table

from cli import running
from cli.standby_children import StandbyPlan
from cli.supervise import Supervisor
from cli.terminal import format_bytes

COPIED_PHASES = ("restoring", "following", "proving", "standby")
"""From the first of them on a central may run here."""
_COLOURS = {"green": "green", "amber": "yellow", "red": "red"}


class Change(Enum):
    """What is to be done about the central here."""

    NOTHING = auto()
    START = auto()
    RESTART = auto()


def wanted(state: Mapping[str, Any], *, runs: bool, is_restoring: bool) -> Change:
    """Return what the agent's `state` wants. runs: a central does.

    is_restoring: the agent was at that already, when it was looked at last.
    """
    # While a standby copies anew, its store of before goes on answering.
    has_store = state["phase"] in COPIED_PHASES or bool(state["again"])
    if not runs:
        return Change.START if has_store else Change.NOTHING
    begins_restoring = state["phase"] == "restoring" and not is_restoring
    return Change.RESTART if begins_restoring else Change.NOTHING


def was_proven(state: Mapping[str, Any]) -> bool:
    """Whether this machine was a proven standby once: others may need its broker and registry."""
    return state["phase"] == "standby" or int(state["proven_until_ms"]) > 0


def stopped(state: Mapping[str, Any]) -> str:
    """Return why the agent does not go on by itself; empty when it does."""
    if state["phase"] == "refused":
        return "refused: mend the red lines, or join with --force"
    return str(state["problem"]) if state["is_stuck"] else ""


@dataclass(slots=True)
class Shown:
    """What of the agent's state was said already."""

    phase: str = ""
    problem: str = ""
    pace: str = ""
    again: str = ""
    checked_ms: int = 0

    def show(self, state: Mapping[str, Any], show_copy: Callable[[dict[str, Any]], None]) -> None:
        """Say what is new. show_copy: gets what a progress bar shows."""
        if state["lines"] and state["checked_ms"] != self.checked_ms:
            self.checked_ms = state["checked_ms"]
            print_lines(state["lines"])
        if state["again"] and state["again"] != self.again:
            say(f"{state['name']} copies the primary anew: {state['again']}")
        self.again = state["again"]
        if state["phase"] != self.phase:
            self.phase = state["phase"]
            say(f"{state['name']} {state['says']}")
        if state["problem"] and state["problem"] != self.problem:
            say(f"  not yet: {state['problem']}")
        self.problem = state["problem"]
        if state["pace_light"] == "amber" and not self.pace:
            say(f"  {state['pace']}")
        self.pace = state["pace"] if state["pace_light"] == "amber" else ""
        if state["bytes_total"]:
            done, total = state["bytes_done"], state["bytes_total"]
            facts = f"{format_bytes(done)} of {format_bytes(total)}"
            if state["bytes_per_s"]:
                facts += f", {format_bytes(int(state['bytes_per_s']))}/s"
            show_copy({"total": total, "completed": done, "facts": facts})


def print_lines(lines: list[dict[str, str]]) -> None:
    """Print the checks, each with its light and, where it is not green, what to do."""
    table = Table(box=None, show_header=False)
    for line in lines:
        colour = _COLOURS.get(line["light"], "white")
        light = f"[{colour}]{line['light']}[/]"
        table.add_row(light, line["check"], line["found"], f"[dim]{line['remedy']}[/]")
    Console(stderr=True).print(table)


class Notes:
    """What `run.json` says of a standby's machine."""

    def __init__(self, plan: StandbyPlan) -> None:
        """Note nothing yet. ready: it is a proven standby. waits: for whom or what, a sentence."""
        self._plan = plan
        self._since = datetime.now(UTC).isoformat(timespec="seconds")
        self.ready = False
        self.waits = ""

    def write(self, supervisor: Supervisor) -> None:
        """Write it."""
        plan = self._plan

        def process(name: str) -> dict[str, object]:
            pid = supervisor.pid(name)
            return {"pid": None} if pid is None else running.identity(pid)

        running.write(
            plan.home,
            {
                **running.identity(os.getpid()),
                "since": self._since,
                "ready": self.ready,
                "waits": self.waits,
                "broker": {"bootstrap_servers": plan.brokers_or_none(), **process("broker")},
                "agents": [{"name": "agent", "url": plan.agent_url, **process("agent")}],
                "registries": [
                    {"name": plan.registry, "url": plan.registry_url, **process(plan.registry)}
                ],
                "collectors": [],
                "centrals": [{"name": plan.name, "url": plan.central_url, **process(plan.name)}],
                "traffic": {"pid": None},
            },
        )


def say(sentence: str) -> None:
    """Print a sentence for a person."""
    typer.echo(sentence, err=True)
