"""Runs many schedules on all cores and names the seeds of violations: `make sim`."""

import argparse
import gc
import os
import random
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from typing import NamedTuple

from tests.simulation.committed import Violation
from tests.simulation.world import SAFEGUARDS, schedule

CHUNK = 250
VIOLATIONS_MAX = 10
REPORT_EVERY_S = 10.0


class Found(NamedTuple):
    seeds: int
    cpu_s: float
    violations: list[str]


def run(seeds: range, without: Sequence[str] = ()) -> Found:
    """Run a schedule per seed. Garbage is collected once: looking for it takes a sixth."""
    gc.disable()
    began_s = time.process_time()
    violations = []
    for seed in seeds:
        try:
            schedule(seed, *without).run()
        except Violation as violation:
            violations.append(f"seed {seed}: {violation}")
        except Exception as error:
            violations.append(f"seed {seed}: {error!r}")
    gc.collect()
    return Found(len(seeds), time.process_time() - began_s, violations)


def chunks(first: int, count: int) -> Iterator[range]:
    for begin in range(first, first + count, CHUNK):
        yield range(begin, min(begin + CHUNK, first + count))


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="make sim", description=__doc__)
    parser.add_argument("--seeds", type=int, default=10_000, help="how many schedules")
    parser.add_argument("--first", type=int, help="the first seed; at random without")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="to run at once")
    parser.add_argument(
        "--without", action="append", default=[], choices=SAFEGUARDS, help="take a safeguard away"
    )
    options = parser.parse_args(arguments)
    first = random.randrange(1 << 40) if options.first is None else options.first
    print(f"{options.seeds} schedules, seeds from {first}", flush=True)

    done, cpu_s, violations = 0, 0.0, 0
    reported_s = began_s = time.monotonic()
    with ProcessPoolExecutor(options.processes) as pool:
        waiting = [pool.submit(run, each, options.without) for each in chunks(first, options.seeds)]
        for future in as_completed(waiting):
            found = future.result()
            done, cpu_s = done + found.seeds, cpu_s + found.cpu_s
            violations += len(found.violations)
            for violation in found.violations:
                print(violation, flush=True)
            if violations >= VIOLATIONS_MAX:
                pool.shutdown(wait=False, cancel_futures=True)
                break
            if time.monotonic() - reported_s >= REPORT_EVERY_S:
                reported_s = time.monotonic()
                print(f"{done} of {options.seeds}, {done / cpu_s:.0f} per CPU second", flush=True)
    print(
        f"{done} schedules in {time.monotonic() - began_s:.0f} s, "
        f"{done / max(cpu_s, 1e-9):.0f} per CPU second, {violations} violations"
    )
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
