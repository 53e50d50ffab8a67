"""What is served at `/download`: the release's wheel, its locks, and what was put beside them."""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from services.central.download.own_files import own_release
from services.central.download.wheel import Release, Wheel, build, version_of
from services.central.join.invites import JoinsAs
from shared.release import RELEASE

LOCKS_FOR: Final[Mapping[JoinsAs, Sequence[str]]] = {
    JoinsAs.COLLECTOR: ("cli", "ingest"),
    JoinsAs.WITNESS: ("cli", "registry"),
    JoinsAs.STANDBY: ("cli", "central", "standby"),
}
"""What a machine needs to be that; the central's lock holds all of the registry's."""
_PACKAGE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*\.whl")


class Downloads:
    """Finds what there is by name; nothing is read before it is asked for."""

    def __init__(
        self, folder: Path | None, *, release: Callable[[], Release | None] = own_release
    ) -> None:
        """Take what `folder` holds, and make the rest of `release`, once."""
        self._folder = folder
        self._release = release
        self._lock = threading.Lock()
        self._made: dict[str, bytes] | None = None

    def all(self) -> dict[str, bytes | Path]:
        """Return everything by name, the release's wheel first. Blocks."""
        return {**self._own(), **self._packages()}

    def wheel(self) -> Wheel | None:
        """Return the release's wheel; None where it is not to be had. Blocks."""
        own = self._own()
        return next((Wheel(name, own[name]) for name in own if version_of([name])), None)

    def install(self, url: str, joins_as: JoinsAs) -> list[str]:
        """Return the lines that get the release from `url`; empty where it is not to be had.

        The hash in them names the wheel, which holds the locks, which name all others: whoever
        answers at `url` can give nothing else.
        """
        wheel = self.wheel()
        if wheel is None:
            return []
        at = urlsplit(url)
        trusted = f"--trusted-host {at.netloc}"
        locks = " ".join(
            f"-r steadflow/share/steadflow/requirements/{name}.txt" for name in LOCKS_FOR[joins_as]
        )
        from_here = f"--no-index --find-links {url}/download {trusted} " * bool(self._packages())
        return [
            "python3 -m venv steadflow && . steadflow/bin/activate",
            f"pip install --no-deps {trusted} '{url}/download/{wheel.name}#sha256={wheel.sha256}'",
            f"pip install {from_here}--require-hashes {locks}",
        ]

    def _own(self) -> dict[str, bytes]:
        with self._lock:
            if self._made is None:
                self._made = self._put_there() or self._built()
            return self._made

    def _put_there(self) -> dict[str, bytes]:
        """Return what an image holds of this release; nothing where it is another's."""
        folder = self._folder
        name = f"steadflow-{RELEASE}-py3-none-any.whl"
        if folder is None or not (folder / name).is_file():
            return {}
        locks = sorted((folder / "requirements").glob("*.txt"))
        return {
            name: (folder / name).read_bytes(),
            **{f"requirements/{lock.name}": lock.read_bytes() for lock in locks},
        }

    def _built(self) -> dict[str, bytes]:
        release = self._release()
        if release is None:
            return {}
        wheel = build(release)
        locks = {f"requirements/{name}": lock for name, lock in release.locks.items()}
        return {wheel.name: wheel.content, **locks}

    def _packages(self) -> dict[str, Path]:
        """Return the wheels of others that somebody put into `wheels/`, by name."""
        if self._folder is None or not (self._folder / "wheels").is_dir():
            return {}
        found = sorted((self._folder / "wheels").iterdir())
        return {
            f"wheels/{path.name}": path
            for path in found
            if _PACKAGE.fullmatch(path.name) and path.is_file()
        }
