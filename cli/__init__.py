"""The `steadflow` command: starts services as processes, talks to their HTTP APIs, imports none."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036  # a clone can be run by any Python
    raise SystemExit("steadflow needs Python 3.11 or newer: this one is " + sys.version.split()[0])
