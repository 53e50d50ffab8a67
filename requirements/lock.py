"""Lock what each part installs: every file pinned by hash, no index address.

`python requirements/lock.py` writes the locks with `uv` (found as $UV or in PATH), keeping the
versions that still fit; `--upgrade` takes the newest. `--check` only compares, without a network.
"""

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROJECT = HERE.parent / "pyproject.toml"
LOCKS: dict[str, list[str]] = {
    "ingest": ["--extra", "ingest"],
    "central": ["--extra", "central"],
    "registry": ["--extra", "registry"],
    "standby": ["--extra", "standby"],
    "cli": ["--extra", "cli"],
    "dev": ["--all-extras", "--group", "dev"],
}
ALL = "dev"
"""Locked first; the others take its versions, as a machine may install several locks at once."""
UV_VERSION = "uv>=0.9"
"""What `make` installs for itself where there is no uv."""


def fingerprint(project: Path = PROJECT) -> str:
    """Return a hash of everything in `project` that the locks depend on."""
    content: dict[str, Any] = tomllib.loads(project.read_text())  # Any: the shape of TOML
    asked = [
        content["project"]["requires-python"],
        content["project"]["dependencies"],
        content["project"]["optional-dependencies"],
        content["dependency-groups"],
        LOCKS,
        UV_VERSION,
    ]
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()[:16]


def stale(project: Path = PROJECT, directory: Path = HERE) -> list[str]:
    """Return the locks that were written for another `project`."""
    wanted = header(project)
    paths = [directory / f"{name}.txt" for name in (*LOCKS, "uv")]
    return [path.name for path in paths if not path.exists() or wanted not in path.read_text()]


def header(project: Path = PROJECT) -> str:
    """Return the first line of a lock."""
    return f"# written by `make lock` for the dependencies of pyproject.toml {fingerprint(project)}"


def main() -> int:
    """Write or check the locks; the exit code."""
    parser = argparse.ArgumentParser(description="lock dependencies")
    parser.add_argument("--check", action="store_true", help="only compare")
    parser.add_argument("--upgrade", action="store_true", help="take the newest versions")
    options = parser.parse_args()
    if options.check:
        old = stale()
        if old:
            sys.stderr.write(f"pyproject.toml is newer than {', '.join(old)}: run `make lock`\n")
        return 1 if old else 0
    _compile(ALL, ["pyproject.toml", *LOCKS[ALL]], upgrade=options.upgrade)
    for name, selection in LOCKS.items():
        if name != ALL:
            source = ["pyproject.toml", *selection, "--constraint", str(HERE / f"{ALL}.txt")]
            _compile(name, source, upgrade=options.upgrade)
    _compile("uv", ["-"], upgrade=options.upgrade, requirements=UV_VERSION)
    return 0


def _compile(name: str, source: list[str], *, upgrade: bool, requirements: str = "") -> None:
    path = HERE / f"{name}.txt"
    command = [os.environ.get("UV", "uv"), "pip", "compile", "--quiet", *source]
    command += ["--universal", "--generate-hashes", "--python-version", "3.11"]
    command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--no-emit-find-links"]
    command += ["--output-file", str(path), *(["--upgrade"] if upgrade else [])]
    subprocess.run(command, cwd=PROJECT.parent, input=requirements.encode(), check=True)
    path.write_text(f"{header()}\n{path.read_text()}")
    sys.stdout.write(f"{path.name}\n")


if __name__ == "__main__":
    raise SystemExit(main())
