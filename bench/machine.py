"""What the figures were measured on; nothing that names the machine."""

import os
import platform
import shutil
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bench import goflow2, nfcapd

_PACKAGES = ("aiokafka", "chdb", "numpy", "pyarrow")


def facts() -> dict[str, Any]:
    """Return processor, memory, system and versions. Any: JSON."""
    return {
        "cores": os.cpu_count(),
        "processor": _field("/proc/cpuinfo", "model name"),
        "memory_gb": round(int(_field("/proc/meminfo", "MemTotal").split()[0]) / 1e6),
        "kernel": platform.release().split("-")[0],
        "python": platform.python_version(),
        "packages": {name: version(name) for name in _PACKAGES},
        "goflow2": goflow2.VERSION,
        "go": _go(),
        "nfdump": nfcapd.version() if nfcapd.is_installed() else "",
    }


def _field(file: str, name: str) -> str:
    for line in Path(file).read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""


def _go() -> str:
    if shutil.which("go") is None:
        return ""
    done = subprocess.run(["go", "version"], capture_output=True, text=True, check=False)
    return done.stdout.split()[2].removeprefix("go") if done.returncode == 0 else ""
