"""The state of a join on disk: whole or not at all, so that whoever was interrupted goes on."""

import json
import os
from pathlib import Path

from services.standby.joining import Joining, began_again, from_json, to_json


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
    new = path.with_suffix(".new")
    with new.open("w") as file:
        json.dump(to_json(joining), file, indent=2)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
