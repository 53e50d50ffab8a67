"""The state of the fold as text, for the `Snapshot` records a new replica starts from; pure."""

import json
from dataclasses import asdict

from shared.roles.fold import Member, OpenHandover, Request, RolesState
from shared.roles.records import FOLD_VERSION, Config, RecordError, Snapshot

_VERSIONS_READ = (FOLD_VERSION,)


def snapshot_of(state: RolesState) -> Snapshot:
    """Return the record that carries `state`: the fold goes on behind `state.offset`."""
    content = state._asdict() | {
        "config": None if state.config is None else asdict(state.config),
        "members": [list(member) for member in state.members.values()],
    }
    text = json.dumps(content, separators=(",", ":"), allow_nan=False)
    return Snapshot(state.offset, FOLD_VERSION, text)


def state_of(snapshot: Snapshot) -> RolesState | None:
    """Return the state in a snapshot; None for one of rules that this release does not know.

    Raises RecordError when it holds something else.
    """
    if snapshot.fold_version not in _VERSIONS_READ:
        return None
    try:
        content = json.loads(snapshot.state)
        members = [Member(*member) for member in content["members"]]
        handover, request = content["handover"], content["request"]
        state = RolesState(
            **content
            | {
                "config": None if content["config"] is None else Config(**content["config"]),
                "members": {member.incarnation: member for member in members},
                "dead": tuple(content["dead"]),
                "handover": None if handover is None else OpenHandover(*handover),
                "request": None if request is None else Request(*request),
            }
        )
    except (KeyError, ValueError, TypeError) as error:
        raise RecordError(f"no state in a snapshot: {error!r}"[:200]) from error
    if state.offset != snapshot.offset:
        raise RecordError(f"a snapshot of {snapshot.offset} with the state at {state.offset}")
    return state
