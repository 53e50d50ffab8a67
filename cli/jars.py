"""The jars of the Kafka broker: a locked set, fetched once, checked by sha256 at every start."""

import hashlib
import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KAFKA_VERSION = "4.3.0"
ENDPOINT = f"org.apache.kafka:kafka_2.13:{KAFKA_VERSION}+org.slf4j:slf4j-simple:1.7.36"
LOCK = Path(__file__).with_name("kafka-jars.lock")
_DOWNLOADS_AT_ONCE = 4
_TRIES = 3

Progress = Callable[[int, int], None]
"""Told how many jars are there, and of how many."""


class JarError(Exception):
    """A jar that cannot be had or is not the locked one; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class Jar:
    """One line of the lock: Maven coordinates and the sha256 of the file in hex."""

    group: str
    artifact: str
    version: str
    sha256: str

    @property
    def name(self) -> str:
        """The file's name."""
        return f"{self.artifact}-{self.version}.jar"


def cache_directory() -> Path:
    """Where fetched jars are kept for all homes of this user."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "steadflow" / f"kafka-{KAFKA_VERSION}"


def read_lock(lock: Path = LOCK) -> list[Jar]:
    """Return the locked jars; comment lines begin with `#`."""
    lines = (line.split() for line in lock.read_text().splitlines())
    fields = ((*parts[0].split(":"), parts[1]) for parts in lines if parts and parts[0] != "#")
    return [Jar(*jar) for jar in fields]


def fetch_jars(
    jars: Iterable[Jar], directory: Path, *, progress: Progress = lambda _have, _all: None
) -> list[Path]:
    """Return the checked file of each jar below `directory`, downloading what is missing.

    Raises JarError when one cannot be downloaded, or differs from the lock.
    """
    wanted = list(jars)
    directory.mkdir(parents=True, exist_ok=True)
    have = 0
    with ThreadPoolExecutor(_DOWNLOADS_AT_ONCE) as pool:
        for _ in pool.map(lambda jar: _fetch(jar, directory), wanted):
            have += 1
            progress(have, len(wanted))
    return [directory / jar.name for jar in wanted]


def _fetch(jar: Jar, directory: Path) -> None:
    path = directory / jar.name
    if path.exists():
        if _sha256(path) != jar.sha256:
            raise JarError(
                f"{path} is not the jar that {LOCK.name} names: delete it to download it again"
            )
        return
    with tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as scratch:
        found = _find(jar, Path(scratch))
        if _sha256(found) != jar.sha256:
            raise JarError(f"the downloaded {jar.name} is not the jar that {LOCK.name} names")
        # Whole or not at all, also when two processes fetch at once.
        part = Path(scratch) / "whole"
        shutil.copyfile(found, part)
        part.replace(path)


def _find(jar: Jar, scratch: Path) -> Path:
    """Return a file that should be `jar`: the user's Maven cache's, or a download to `scratch`."""
    from jgo.maven import MavenContext, PythonResolver

    remotes, maven_cache = _repositories()
    context = MavenContext(
        resolver=PythonResolver(), repo_cache=scratch, remote_repos=remotes, timeout=60
    )
    artifact = context.project(jar.group, jar.artifact).at_version(jar.version).artifact()
    known = maven_cache / artifact.component.path_prefix / jar.name
    if known.exists() and _sha256(known) == jar.sha256:
        return known
    for tries_left in reversed(range(_TRIES)):
        try:
            path: Path = artifact.resolve()
        except (OSError, RuntimeError) as error:  # requests' errors are OSErrors
            shutil.rmtree(scratch / artifact.component.path_prefix, ignore_errors=True)
            if not tries_left:
                raise JarError(f"{jar.name} cannot be downloaded: {_short(error)}") from error
        else:
            return path
    raise AssertionError("the last try returns or raises")


def _repositories() -> tuple[dict[str, str], Path]:
    """Remote Maven repositories (a site's mirror is named in jgo's own config) and the cache."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL

    settings = GlobalSettings.load()
    return {**settings.repositories, "central": MAVEN_CENTRAL_URL}, Path(settings.repo_cache)


def _short(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 200 else f"{text[:200]}…"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def resolve_lock() -> str:
    """Resolve the broker's dependencies anew and return the text of the lock."""
    import jgo
    from jgo.maven import PythonResolver

    environment: Any = jgo.build(ENDPOINT, resolver=PythonResolver())  # Any: jgo ships no types
    paths = {path.name: path for path in map(Path, environment.all_jars)}
    lines = [
        f"{jar.groupId}:{jar.artifactId}:{jar.version} "
        f"{_sha256(paths[f'{jar.artifactId}-{jar.version}.jar'])}"
        for jar in environment.lockfile.dependencies
    ]
    header = f"# Kafka {KAFKA_VERSION}: Maven coordinates and sha256 (written by `make lock`)"
    return "\n".join([header, *sorted(lines)]) + "\n"


if __name__ == "__main__":
    LOCK.write_text(resolve_lock())
    sys.stdout.write(f"{LOCK.name}: {len(read_lock())} jars\n")
