"""The model of the Failover page: who is primary, how the nodes stand, drills, history; pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.central.join.machines import Heard
from services.central.join.opening import CLOSED, Opening
from services.central.pages import units
from services.central.pages.decisions import decisions
from services.central.pages.lost import DASH, Compared
from services.central.pages.machines import machines_of
from services.central.pages.strip import node_standing
from services.central.proof.ledger import Proven
from shared.digest_records import MINUTE, PERIOD_MS
from shared.drill import Drill, Verdict, is_slow, summary
from shared.release import RELEASE
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import NO_EPOCH, RolesState
from shared.roles.history import Entry
from shared.roles.view import cluster_alarms, cluster_view

Model = dict[str, Any]  # Any: nested JSON as `static/sf_failover.js` reads it.

ENABLE = "steadflow standby enable --host NAME"
_LATE_TICK_S = 5.0
_LEVELS = {
    Verdict.PASSED: "good",
    Verdict.FAILED: "bad",
    Verdict.RUNNING: "calm",
    Verdict.BROKEN_OFF: "warn",
}


@dataclass(frozen=True, slots=True)
class Known:
    """What one central knows.

    here: its name. written: what `ha.roles` says. proven: of each other central; None where nobody
    compares; compared: of which minutes that was. entries: of `ha.history`, the oldest first.
    drills: the newest first. joining_url: where a machine joins; empty while others cannot reach
    this one. opening: how far it is with that. machines: what those that join or stand by said to
    this central. survives: what losing a machine does, in sentences.
    """

    here: str
    state: RolesState
    written: ClusterRoles | None = None
    proven: Sequence[Proven] | None = None
    compared: Compared = field(default_factory=Compared)
    entries: Sequence[Entry] = ()
    drills: Sequence[Drill] = ()
    joining_url: str = ""
    opening: Opening = CLOSED
    machines: Sequence[Heard] = ()
    survives: Sequence[str] = ()


def failover_of(known: Known, now_ms: int) -> Model:
    """Return the model at `now_ms`."""
    state, view = known.state, cluster_view(known.state, known.written, [])
    nodes = {each["name"] for each in view["nodes"]}
    if known.proven is not None:
        # What a node that left once held says nothing any more.
        known = replace(known, proven=[each for each in known.proven if each.central in nodes])
    proven = {each.central: each for each in known.proven or ()}
    return {
        "here": known.here,
        "state": _standing(view),
        "primary": view["primary"] or "",
        "standing": view["standing"],
        "since": state.since_ms if state.epoch != NO_EPOCH else 0,
        "held": units.age(max(0, now_ms - state.since_ms) / 1000) if view["primary"] else "",
        "epoch": DASH if state.epoch == NO_EPOCH else str(state.epoch),
        "tick": _tick(state, now_ms),
        "paused": view["paused"],
        "nodes": [_node(each, known, proven) for each in view["nodes"]],
        "alarms": _alarms(known),
        "survives": list(known.survives),
        "can_drill": not _running(known.drills, now_ms),
        "enable": _enable(known),
        "joining_url": known.joining_url,
        "release": RELEASE,
        "machines": machines_of(known.machines, now_ms),
        "drills": [_drill(each, now_ms) for each in known.drills],
        "history": decisions(known.entries, known.compared.among(known.here, nodes), now_ms),
    }


def _enable(known: Known) -> Model | None:
    """Return how this machine is opened to others; None where it is."""
    opening = known.opening
    if known.joining_url and not (opening.is_under_way or opening.problem):
        return None
    return {
        "command": ENABLE,
        "by_page": opening.by_page,
        "is_under_way": opening.is_under_way,
        "problem": opening.problem,
    }


def _standing(view: Model) -> str:
    if view["config"] is None:
        return "none"
    return "ok" if view["primary"] else "vacant"


def _tick(state: RolesState, now_ms: int) -> Model:
    if state.last_tick_ms is None:
        return {"text": DASH, "level": ""}
    # The log's clock may be ahead of ours.
    ago_s = max(0, now_ms - state.last_tick_ms) / 1000
    text = f"{ago_s:.1f} s ago" if ago_s < 60 else f"{units.age(ago_s)} ago"
    return {"text": text, "level": "bad" if ago_s > _LATE_TICK_S else ""}


def _node(node: Model, known: Known, proven: dict[str, Proven]) -> Model:
    word, level = node_standing(node)
    lag_s, lag_records = node["lag_s"], node["lag_records"]
    return {
        "name": node["name"],
        "here": node["name"] == known.here,
        "role": "hot standby" if node["role"] == "standby" else node["role"],
        "word": word,
        "level": level,
        "problem": _problem(node),
        "lag": DASH if lag_s is None else f"{lag_s:.1f} s",
        "records": DASH if lag_records is None else units.count(lag_records),
        "priority": str(node["priority"]),
        "url": node["url"],
        "proof": _proof(node["name"], known, proven.get(node["name"])),
    }


def _problem(node: Model) -> str:
    if node["role"] != "dead":
        return str(node["problem"])
    return f"{node['problem']}. Gone for ever: steadflow standby remove {node['name']}"


def _proof(name: str, known: Known, proven: Proven | None) -> Model:
    if name == known.here:
        return {"text": DASH, "at": 0, "level": "calm"}
    if known.proven is None or proven is None:
        return {"text": "not compared yet", "at": 0, "level": "calm"}
    if proven.differences:
        noun = "difference" if proven.differences == 1 else "differences"
        return {"text": f"{proven.differences} {noun}", "at": 0, "level": "bad"}
    if not proven.until_ms:
        return {"text": "not yet", "at": 0, "level": "calm"}
    return {"text": "", "at": proven.until_ms - PERIOD_MS[MINUTE], "level": "good"}


def _alarms(known: Known) -> list[str]:
    alarms = [alarm.text for alarm in cluster_alarms(known.state, known.written)]
    for each in known.proven or ():
        if each.differences:
            alarms.append(
                f"{known.here} and {each.central} do not hold the same: "
                "`steadflow standby repair` mends it, GET /api/v1/proof names the minutes"
            )
    return alarms


def _running(drills: Sequence[Drill], now_ms: int) -> bool:
    return any(summary(each, now_ms)["verdict"] == Verdict.RUNNING for each in drills)


def _drill(drill: Drill, now_ms: int) -> Model:
    row = summary(drill, now_ms)
    is_known = row["from"] and row["to"]
    return {
        "id": drill.id,
        "at": drill.started_ms,
        "kind": "Primary killed" if row["kind"] == "kill" else "Switchover",
        "who": f"{row['from']} \N{RIGHTWARDS ARROW} {row['to']}" if is_known else DASH,
        "verdict": row["verdict"],
        "level": _LEVELS[Verdict(row["verdict"])],
        "rto": DASH if row["rto_s"] is None else f"{row['rto_s']:.2f} s",
        "slow": is_slow(drill),
        "lost": DASH if row["records_lost"] is None else units.count(row["records_lost"]),
        "error": row["error"],
    }
