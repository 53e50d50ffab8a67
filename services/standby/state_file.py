"""The state of a join on disk: whole or not at all, so that whoever was interrupted goes on."""

import json
from pathlib import Path

from services.standby.joining import Joining, began_again, from_json, to_json
from shared.snapshot_folder import write_whole


class StateError(Exception):
    """The file is there and holds no state of a join; the text is one sentence."""


def load(path: Path) -> Joining:
    """Return where a join goes on; a new one when there is no file. Raises StateError."""
    try:
        return began_again(from_json(json.loads(path.read_text())))
    except FileNotFoundError:
        return Joining()
    except (OSError, ValueError) as error:
        raise StateError(f"{path} cannot be read, remove it to join anew: {error}") from error


def save(path: Path, joining: Joining) -> None:
    """Replace the file."""
    write_whole(path, json.dumps(to_json(joining), indent=2).encode())
