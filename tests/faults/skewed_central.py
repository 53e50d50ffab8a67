"""A central whose wall clock is wrong, as that of a machine without NTP; other clocks are right.

`python -m tests.faults.skewed_central` is configured as the central is. libfaketime 0.9.10 is no
way to get there: with the monotonic clock left alone, `time.sleep` of Python 3.11 fails under it.
"""

import os
import runpy
import time

VARIABLE = "STEADFLOW_TEST_SKEW_S"


def main() -> None:
    skew_s = int(os.environ.pop(VARIABLE))
    seconds, nanoseconds = time.time, time.time_ns
    time.time = lambda: seconds() + skew_s
    time.time_ns = lambda: nanoseconds() + skew_s * 1_000_000_000
    runpy.run_module("services.central", run_name="__main__")


if __name__ == "__main__":
    main()
