import subprocess
import sys


def test_the_setting_is_taken_or_refused_without_harm() -> None:
    # In a process of its own: it holds for a whole process.
    code = (
        "from services.ingest.publish.allocation import keep_freed_memory as keep; "
        "assert keep() in (True, False)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
