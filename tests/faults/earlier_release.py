"""The files of an earlier commit, to be run as the release before this one."""

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest

from tests.faults.system import ROOT

COMMIT = os.environ.get("STEADFLOW_UPGRADE_FROM") or "HEAD^"
EARLIER = "0.0.1"
"""What the earlier commit is made to call itself, to see which of the two runs."""


def earlier_release(folder: Path) -> Path:
    """Return a folder with all files of that commit."""
    packed = subprocess.run(
        ["git", "archive", "--format=tar", COMMIT], cwd=ROOT, capture_output=True, check=False
    )
    if packed.returncode:
        pytest.skip(f"no commit before this one: {packed.stderr.decode().strip()}")
    with tarfile.open(fileobj=io.BytesIO(packed.stdout)) as archive:
        archive.extractall(folder, filter="data")
    (folder / "shared" / "release.py").write_text(f'RELEASE = "{EARLIER}"\n')
    return folder
