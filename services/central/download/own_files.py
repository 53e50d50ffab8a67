"""The files of the release that runs here: of a checkout, or of an installed wheel."""

import sys
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final, NamedTuple

from services.central.download.wheel import LOCKS_AT, Release, Wheel, build, describe
from shared.release import RELEASE

PACKAGES: Final = ("cli", "services", "shared")
LOCKS: Final = ("central.txt", "cli.txt", "ingest.txt", "registry.txt", "standby.txt")
ROOT: Final = Path(__file__).parents[3]
_DESCRIBES: Final = ("METADATA", "entry_points.txt", "licenses/LICENSE")


class _Beside(NamedTuple):
    """What a release has beside its code."""

    described: Mapping[str, bytes]
    locks: Mapping[str, bytes]


def own_release(root: Path = ROOT) -> Release | None:
    """Return what runs below `root`; None where not all of it is there, as in an image."""
    if not all((root / package).is_dir() for package in PACKAGES):
        return None
    kept = _of_checkout(root) if (root / "pyproject.toml").exists() else _of_installed()
    if kept is None:
        return None
    code = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in sorted(_files(root / package))
    }
    return Release(RELEASE, code, *kept)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name == "__pycache__" or path.name.startswith(".") or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _of_checkout(root: Path) -> _Beside:
    others = {name: (root / name).read_bytes() for name in ("README.md", "LICENSE")}
    locks = {name: (root / "requirements" / name).read_bytes() for name in LOCKS}
    return _Beside(describe((root / "pyproject.toml").read_bytes(), others), locks)


def _of_installed() -> _Beside | None:
    """Return what the installed wheel held; what its installer added is left out."""
    try:
        files = distribution("steadflow").files or []
    except PackageNotFoundError:
        return None
    described, locks = {}, {}
    for file in files:
        folder, _, name = file.as_posix().partition(".dist-info/")
        if "/" not in folder and name in _DESCRIBES:
            described[name] = Path(str(file.locate())).read_bytes()
        elif file.parent.as_posix().endswith(LOCKS_AT) and file.name in LOCKS:
            locks[file.name] = Path(str(file.locate())).read_bytes()
    return _Beside(described, locks) if "METADATA" in described else None


def write(folder: Path) -> Wheel:
    """Put the wheel and the locks into `folder`, as an image is served. Raises OSError."""
    release = own_release()
    if release is None:
        raise FileNotFoundError("not all of the release is here")
    wheel = build(release)
    (folder / "requirements").mkdir(parents=True, exist_ok=True)
    (folder / wheel.name).write_bytes(wheel.content)
    for name, lock in release.locks.items():
        (folder / "requirements" / name).write_bytes(lock)
    return wheel


if __name__ == "__main__":
    print(write(Path(sys.argv[1])).name)  # noqa: T201  a step of the image's build
