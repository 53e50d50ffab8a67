"""`python -m tests.deploy.rehearsal cost`: what the log costs in disk and network, three copies.

Measured where it is paid: at the network interface of each machine's container, and in the folder
of its broker. Once without flows, as ticks, heartbeats and empty fetches cost something too.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from tests.deploy.containers import Project
from tests.deploy.three_machines import grown, wait_whole
from tests.deploy.under_test import Rehearsal, say

FLOWS_PER_S = 1000
SPAN_S = 120
BROKERS = ("one", "two", "three")
MACHINES = (*BROKERS, "site")
FACTS = """
import glob, json, os
def count(way):
    files = glob.glob(f"/sys/class/net/eth*/statistics/{way}_bytes")
    return sum(int(open(file).read()) for file in files)
disk = {}
for file in glob.glob("/data/.local/share/steadflow/kafka/data/*/*.log"):
    topic = file.split("/")[-2].rpartition("-")[0]
    disk[topic] = disk.get(topic, 0) + os.path.getsize(file)
print(json.dumps({"received": count("rx"), "sent": count("tx"), **disk}))
"""
Facts = Mapping[str, Mapping[str, int]]


def rehearse() -> None:
    """Grow to three machines, then measure a quiet span and one with flows."""
    with grown("steadflow-log-cost") as test:
        acting = wait_whole(test)
        quiet = over(test, flows_per_s=0)
        busy = over(test, flows_per_s=FLOWS_PER_S)
        test.compare()
        flows = test.sent[-1]["flows"]
        say(f"bytes a flow, of {flows:,} flows in {SPAN_S} s; {acting} acts")
        for machine in MACHINES:
            costs = {
                name: round((busy[machine][name] - quiet[machine].get(name, 0)) / flows, 1)
                for name in busy[machine]
            }
            say(f"  {machine}: {shown(costs)}")
        say("bytes a second without flows")
        for machine in MACHINES:
            say(f"  {machine}: {shown({n: v // SPAN_S for n, v in quiet[machine].items()})}")


def shown(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:,}" for name, value in values.items() if value)


def over(test: Rehearsal, *, flows_per_s: int) -> Facts:
    """Return what grew by how much at each machine over the span."""
    before, begun_s = facts(test.project), time.monotonic()
    if flows_per_s:
        with test.traffic(SPAN_S, flows_per_s=flows_per_s):
            pass
    time.sleep(max(0.0, begun_s + SPAN_S - time.monotonic()))
    after = facts(test.project)
    return {
        machine: {name: now - before[machine].get(name, 0) for name, now in found.items()}
        for machine, found in after.items()
    }


def facts(project: Project) -> Facts:
    found: dict[str, Any] = {}  # JSON
    for machine in MACHINES:
        found[machine] = json.loads(project.inside(machine, "python", "-c", FACTS))
    return found
