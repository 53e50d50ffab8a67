"""The files of the release that runs here: of a checkout, or of an installed wheel."""

import sys
import sysconfig
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Final

from services.central.download.wheel import LOCKS_AT, Release, Wheel, build, describe
from shared.release import RELEASE

PACKAGES: Final = ("cli", "services", "shared")
LOCKS: Final = ("central.txt", "cli.txt", "ingest.txt", "registry.txt", "standby.txt")
ROOT: Final = Path(__file__).parents[3]
_MADE_BY_INSTALLERS: Final = ("RECORD", "WHEEL", "INSTALLER", "REQUESTED", "direct_url.json")


def own_release(root: Path = ROOT) -> Release | None:
    """Return what runs below `root`; None where not all of it is there, as in an image."""
    if not all((root / package).is_dir() for package in PACKAGES):
        return None
    if (root / "pyproject.toml").exists():
        others = {name: (root / name).read_bytes() for name in ("README.md", "LICENSE")}
        described = describe((root / "pyproject.toml").read_bytes(), others)
        locks = root / "requirements"
    else:
        described = _installed()
        locks = Path(sysconfig.get_path("data")) / LOCKS_AT
    if not described:
        return None
    code = {
        path.relative_to(root).as_posix(): path.read_bytes()
        for package in PACKAGES
        for path in sorted(_files(root / package))
    }
    kept = {name: (locks / name).read_bytes() for name in LOCKS if (locks / name).exists()}
    return Release(RELEASE, code, described, kept)


def _files(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name == "__pycache__" or path.name.startswith(".") or path.suffix == ".pyc":
            continue
        if path.is_dir():
            yield from _files(path)
        else:
            yield path


def _installed() -> dict[str, bytes]:
    """Return what stands in `.dist-info` and was in the wheel; nothing where there is none."""
    try:
        files = distribution("steadflow").files or []
    except PackageNotFoundError:
        return {}
    found = {}
    for file in files:
        folder, _, name = file.as_posix().partition("/")
        if folder.endswith(".dist-info") and name not in _MADE_BY_INSTALLERS:
            path = Path(str(file.locate()))
            if path.exists():
                found[name] = path.read_bytes()
    return found


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
