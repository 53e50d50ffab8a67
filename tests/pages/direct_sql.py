"""Plain SQL over the raw rows of a copied store.

Run as `python -m tests.pages.direct_sql STORE` it answers a JSON list of statements from standard
input: in a process of its own, because one chDB path belongs to one process.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import clickhouse_connect

from tests.faults.system import System
from tests.stopping import frozen

ROOT = Path(__file__).parents[2]
Rows = list[list[Any]]  # Any: one JSON value of a column.


def ask_store(store: Path, statements: list[str]) -> list[Rows]:
    """Return the rows of each statement over an embedded store that no process has open."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.pages.direct_sql", str(store)],
        cwd=ROOT,
        input=json.dumps(statements),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    answers: list[Rows] = json.loads(done.stdout)
    return answers


def copy_store(system: System, central: str, to: Path) -> Path:
    """Return a copy of a central's store, which is frozen meanwhile."""
    (pid,) = system.processes()[central]
    with frozen([pid]):
        shutil.copytree(system.home / central / "store", to, symlinks=True)
    return to


def main() -> None:
    """Answer the statements."""
    client = clickhouse_connect.get_client(interface="chdb", path=sys.argv[1])
    answers = [client.query(sql).result_rows for sql in json.load(sys.stdin)]
    json.dump([[list(row) for row in rows] for rows in answers], sys.stdout, default=str)


if __name__ == "__main__":
    main()
