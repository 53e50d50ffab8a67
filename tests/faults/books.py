"""The books of a whole system: brought to rest, stopped, and compared row by row."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from tests.faults.audit import difference, markers, spool_rows, store_rows
from tests.faults.system import System, kill
from tests.waiting import wait_until

CENTRALS = ("central-a", "central-b")
ROLES = ("holder", "receiver", "decoder", *CENTRALS, "broker")
DEADLINE_S = 180


def flows_of(system: System) -> list[int]:
    """Return the flows that each central counts, 0 for one that is away."""
    answers = [system.ask(central, "/api/v1/totals") for central in CENTRALS]
    return [answer["flows"] if answer else 0 for answer in answers]


def settle(system: System) -> None:
    """Wait until nothing is on its way any more, then end every stream that carried a row."""
    wait_until(lambda: everything_lives(system), "everything restarted", DEADLINE_S)
    before = datetime.now(UTC)
    for pid in system.processes()["receiver"]:
        kill(pid)
    wait_until(lambda: streams_ended(system, before), "old streams ended in both", DEADLINE_S)


def everything_lives(system: System) -> bool:
    """Whether every role has a process and both centrals answer."""
    roles = system.processes()
    return all(roles.get(role) for role in ROLES) and all(flows_of(system))


def streams_ended(system: System, before: datetime) -> bool:
    """Whether both centrals have seen the end of every stream that began before an instant."""
    for central in CENTRALS:
        answer = system.ask(central, "/api/v1/streams")
        if answer is None:
            return False
        for stream in answer["rows"]:
            if not stream["ended"] and datetime.fromisoformat(stream["started_at"]) <= before:
                return False
    return True


def check_books(system: System, folder: Path, workers: int) -> tuple[int, int]:
    """Stop the system; compare both stores with its spool, roll-ups and digests included.

    Returns the rows, and the marker rows of closed minutes and hours, that each store holds.
    """
    system.down()
    spool = system.home / "collector-1" / "spool"
    expected = [spool_rows(spool / str(w), f"collector-1/{w}") for w in range(workers)]
    rows = pa.concat_tables(expected)
    assert len(rows) > 0
    digests = []
    for central in CENTRALS:
        out = folder / f"{central}.arrow"
        found = store_rows(system.home / central / "store", out)
        assert difference(rows, found) == "", central
        digests.append(markers(out))
    assert digests[0] == digests[1]
    return len(rows), len(digests[0])
