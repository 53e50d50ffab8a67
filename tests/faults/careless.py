"""A collector whose receivers may lack a safeguard, for negative controls.

`python -m tests.faults.careless SAFEGUARD` is the collector, configured by the environment. With a
receiver's arguments behind it, it is one of its receivers. SAFEGUARD: what the receiver does not do
for the stream of one that was killed: `cut` its half-written tail, `mark` its end, or `nothing`.
"""

import asyncio
import sys
from functools import partial

from services.ingest.app import serve
from services.ingest.config import IngestConfig
from services.ingest.holder import MODULES, command_of
from services.ingest.receive import receiver
from services.ingest.spool.recovery import end_last_stream
from services.ingest.status import Role
from shared.config import load


def main(safeguard: str, arguments: list[str]) -> int:
    if arguments:
        recover = partial(end_last_stream, cut=safeguard != "cut", mark=safeguard != "mark")
        return receiver.main(arguments, recover=recover)

    def command(role: Role, worker: int, file: int) -> list[str]:
        whole = command_of(role, worker, file)
        if role == "receiver":
            place = whole.index(MODULES[role])
            whole[place : place + 1] = ["tests.faults.careless", safeguard]
        return whole

    asyncio.run(serve(load(IngestConfig), command=command))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
