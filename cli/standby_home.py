"""What a machine that joined keeps of itself beside its data: name, addresses, whom it joined."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from shared.tls.writing import write_whole

_FILE = "standby.json"
_FOLDERS = ("tls", "logs", "kafka")
_FILES = (
    "token", "given.json", "join.json", "invite", "run.json", "brokers", _FILE, "lock",
)  # fmt: skip


class NoStandby(Exception):
    """No machine joined with this home; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class StandbyHome:
    """A machine as it joined. hosts: by which others reach it; primary: as it was given.

    kafka_port: the first of three of a broker there; 0 where a release before did not note it.
    """

    name: str
    primary: str
    hosts: Sequence[str]
    https_port: int
    copy_bytes_per_s: int = 0
    kafka_port: int = 0


def write_standby(home: Path, standby: StandbyHome) -> None:
    """Keep it."""
    write_whole(home / _FILE, json.dumps(asdict(standby), indent=2).encode(), mode=0o600)


def read_standby(home: Path) -> StandbyHome:
    """Return what was kept. Raises NoStandby."""
    try:
        content: dict[str, Any] = json.loads((home / _FILE).read_text())  # JSON
        given = home / "given.json"
        if not given.exists():
            raise NoStandby(f"the machine of {home} did not join yet")
        return StandbyHome(
            str(content["name"]),
            str(content["primary"]),
            tuple(map(str, content["hosts"])),
            int(content["https_port"]),
            int(content.get("copy_bytes_per_s", 0)),
            int(content.get("kafka_port", 0)),
        )
    except FileNotFoundError as error:
        raise NoStandby(f"no machine joined with {home}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NoStandby(f"{home / _FILE} cannot be read: join again") from error


def centrals_told(home: Path) -> list[str]:
    """Return the URLs of the centrals that were told at the join; none where that is lost."""
    try:
        return [str(each) for each in json.loads((home / "given.json").read_text())["centrals"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def remove_data(home: Path, name: str) -> None:
    """Remove what a join made in `home`, and `home` when nothing else is in it. Raises OSError."""
    for folder in (*_FOLDERS, name):
        if (home / folder).is_dir():
            shutil.rmtree(home / folder)
    for file in _FILES:
        (home / file).unlink(missing_ok=True)
    if not any(home.iterdir()):
        home.rmdir()
