"""Files that are there whole, with their mode from the first byte on, or not at all."""

import contextlib
import os
from pathlib import Path

from shared.tls.errors import TlsError

OWNER_ONLY = 0o600
FOR_ALL = 0o644


def write_whole(path: Path, content: bytes, *, mode: int) -> None:
    """Replace `path`. Raises TlsError when that is not possible."""
    new = path.with_name(f"{path.name}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.suppress(FileNotFoundError):
            new.unlink()
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise TlsError(f"{path} cannot be written: {error.strerror}") from error
