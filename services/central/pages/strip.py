"""The model of the failover strip: who is primary, how both stand, what happened last; pure."""

from collections.abc import Iterable, Sequence
from typing import Any

from services.central.pages.units import age
from shared.roles.cluster import ClusterRoles
from shared.roles.fold import NO_EPOCH, RolesState
from shared.roles.history import Takeover
from shared.roles.view import cluster_alarms, cluster_view

Model = dict[str, Any]  # Any: nested JSON as `static/sf_strip.js` reads it.

_LAG_SHOWN_S = 1.0


def strip_of(state: RolesState, written: ClusterRoles | None, *, here: str, now_ms: int) -> Model:
    """Return the model. here: the node that shows it; written: what `ha.roles` says."""
    view = cluster_view(state, written, [])
    if view["config"] is None:
        return {"state": "none", "nodes": [], "alarms": [], "here": here, "others": []}
    return {
        "state": "ok" if view["primary"] else "vacant",
        "here": here,
        "primary": view["primary"],
        "since": "" if view["since"] is None else age((now_ms - state.since_ms) / 1000),
        "epoch": "" if state.epoch == NO_EPOCH else str(state.epoch),
        "paused": view["paused"],
        "nodes": [_node(each, here) for each in view["nodes"]],
        "takeover": _last(view["last_takeover"], written, now_ms),
        "alarms": [alarm.text for alarm in cluster_alarms(state, written)],
        "others": [
            {"name": each["name"], "url": each["url"]}
            for each in view["nodes"]
            if each["name"] != here and each["url"]
        ],
    }


def node_standing(node: Model) -> tuple[str, str]:
    """Return how a node of `cluster_view` stands, in a word, and the level of that."""
    lag_s = node["lag_s"]
    if node["role"] == "dead":
        return "silent", "bad"
    if not node["candidate"]:
        # It is not fit to be chosen, which is what was asked for.
        late = lag_s is None or lag_s > _LAG_SHOWN_S
        return "keeps a copy", "warn" if late else "calm"
    if not node["is_fit"]:
        return "cannot work", "bad"
    if lag_s is None:
        return "starting", "warn"
    if lag_s > _LAG_SHOWN_S:
        return f"{age(lag_s)} behind", "warn"
    return "up to date", "good"


def _node(node: Model, here: str) -> Model:
    word, level = node_standing(node)
    return {
        "name": node["name"],
        "role": "" if node["role"] == "dead" else node["role"],
        "word": word,
        "level": level,
        "here": node["name"] == here,
        "url": node["url"],
        "title": node["problem"] or f"{node['name']} is {word}",
    }


def _last(last: Model | None, written: ClusterRoles | None, now_ms: int) -> str:
    if last is None or written is None:
        return ""
    ago = age(max(0, now_ms - written.since_ms) / 1000)
    return (
        f"{written.primary} took over {ago} ago ({last['reason']}); "
        f"nobody acted for {last['seconds']:.2f} s"
    )


def marks_of(takeovers: Iterable[Takeover], from_ms: int, to_ms: int) -> Sequence[Model]:
    """Return the takeovers of a range, as a chart marks them."""
    return [
        {"at": each.at_ms, "name": f"{each.primary} took over: {each.reason}"}
        for each in takeovers
        if from_ms <= each.at_ms < to_ms and each.took_s is not None
    ]
