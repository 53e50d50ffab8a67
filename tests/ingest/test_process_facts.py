import os
import subprocess
import sys
import time

from services.ingest.process_facts import process_facts


def test_a_process_shows_what_it_costs() -> None:
    facts = process_facts(os.getpid())
    assert facts is not None
    assert 0 < facts.cpu_s <= time.process_time() + 1
    assert facts.resident_bytes > 1 << 20


def test_one_that_is_gone_shows_nothing() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert process_facts(process.pid) is None
