"""What the project ships and what it locks."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    directory = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(directory)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = directory.glob("*.whl")
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_the_three_packages_and_nothing_else(wheel_names: list[str]) -> None:
    top = {name.split("/")[0] for name in wheel_names}
    assert {name for name in top if not name.endswith((".dist-info", ".data"))} == {
        "cli",
        "services",
        "shared",
    }
    beside = {name.partition(".data/data/")[2] for name in wheel_names if ".data/" in name}
    locks = ("central", "cli", "ingest", "registry", "standby")
    assert beside == {f"share/steadflow/requirements/{name}.txt" for name in locks}


def test_the_wheel_holds_what_is_no_python(wheel_names: list[str]) -> None:
    assert "cli/kafka-jars.lock" in wheel_names
    in_tree = {
        str(path.relative_to(ROOT))
        for path in (ROOT / "services").rglob("*")
        if "migrations" in path.parts and path.is_file() and "__pycache__" not in path.parts
    }
    assert in_tree <= set(wheel_names)
    assert any("/versions/" in name for name in in_tree)


def test_locks_agree_with_pyproject() -> None:
    done = subprocess.run(
        [sys.executable, "requirements/lock.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    "lock", sorted((ROOT / "requirements").glob("*.txt")), ids=lambda p: p.stem
)
def test_locks_pin_every_file_and_name_no_index(lock: Path) -> None:
    lines = [line for line in lock.read_text().splitlines() if not line.startswith("#")]
    pins = [index for index, line in enumerate(lines) if not line.startswith(" ")]
    assert all("==" in lines[index] for index in pins)
    assert all(lines[index + 1].strip().startswith("--hash=sha256:") for index in pins)
    assert not any("://" in line or line.startswith("-") for line in lines)


def test_locks_agree_as_a_machine_installs_several_at_once() -> None:
    pinned: dict[str, set[str]] = {}
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        for line in lock.read_text().splitlines():
            name, is_pin, version = line.removesuffix(" \\").partition("==")
            if is_pin and line[0].isalnum():
                wanted, _, marker = version.partition(" ; ")
                pinned.setdefault(f"{name} ; {marker}", set()).add(wanted)

    assert len(pinned) > 50
    assert {name: found for name, found in pinned.items() if len(found) > 1} == {}
