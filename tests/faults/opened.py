"""A system that is opened to other machines, and what another machine finds there."""

from concurrent.futures import ThreadPoolExecutor

import httpx

from shared.kafka import Brokers, partition_facts
from shared.tls import TlsFiles, client_context
from shared.topics import FLOWS
from tests import loops
from tests.faults.system import System


def enable(system: System, https_port: int, kafka_port: int) -> str:
    """Return what `steadflow standby enable` says."""
    return system.run(
        "standby", "enable", "--home", str(system.home), "--host", "localhost",
        "--bind", "127.0.0.1", "--https-port", str(https_port), "--kafka-port", str(kafka_port),
    ).stdout  # fmt: skip


def check_opened(system: System, https_port: int, kafka_port: int) -> None:
    """Check that Kafka and both centrals are reached as another machine would."""
    tls = TlsFiles.in_directory(system.home / "tls")
    brokers = Brokers(f"localhost:{kafka_port}", tls)
    # A browser's test has a loop in its own thread.
    with ThreadPoolExecutor(1) as thread:
        assert thread.submit(lambda: loops.run(partition_facts(brokers, FLOWS.name))).result()
    with httpx.Client(verify=client_context(tls), trust_env=False, timeout=60) as client:
        for port in (https_port, https_port + 1):
            assert client.get(f"https://localhost:{port}/health/live").status_code == 200
