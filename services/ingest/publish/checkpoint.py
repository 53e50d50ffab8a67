"""The decoder's state at the start of each kept segment, so that decoding can begin there again.

One small file beside each segment. A damaged or missing one costs the templates of that time, not
the rows: what waits for them is named as lost.
"""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

Change = tuple[str, str | None]

_SUFFIX = ".state"


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """Where the decoder stood at a segment's first record.

    stream: of the segment before, None at the very first; next_number, latest_ms, ended: of that
    stream. decoder: the whole state.
    """

    stream: int | None
    next_number: int
    latest_ms: int
    ended: bool
    decoder: tuple[Change, ...]


def _path(directory: Path, segment: int) -> Path:
    return directory / f"{segment:012d}{_SUFFIX}"


def save_checkpoint(directory: Path, segment: int, checkpoint: Checkpoint) -> None:
    """Keep the state at the start of `segment`. Raises OSError."""
    body = json.dumps(
        [
            checkpoint.stream,
            checkpoint.next_number,
            checkpoint.latest_ms,
            checkpoint.ended,
            checkpoint.decoder,
        ],
        separators=(",", ":"),
    ).encode()
    path = _path(directory, segment)
    new = path.with_suffix(".state.part")
    new.write_bytes(b"%08x %s" % (crc32(body), body))
    os.replace(new, path)


def load_checkpoint(directory: Path, segment: int) -> Checkpoint | None:
    """Return the state at the start of `segment`; None when it is missing or damaged."""
    try:
        line = _path(directory, segment).read_bytes()
    except FileNotFoundError:
        return None
    body = line[9:]
    if line[:9] != b"%08x " % crc32(body):
        return None
    stream, next_number, latest_ms, ended, decoder = json.loads(body)
    return Checkpoint(
        stream=stream,
        next_number=next_number,
        latest_ms=latest_ms,
        ended=ended,
        decoder=tuple((key, value) for key, value in decoder),
    )


def drop_checkpoint(directory: Path, segment: int) -> None:
    """Forget the state at the start of `segment`."""
    _path(directory, segment).unlink(missing_ok=True)


def drop_checkpoints_before(directory: Path, oldest: int) -> None:
    """Forget the states of segments below `oldest`."""
    for path in directory.glob(f"*{_SUFFIX}"):
        if path.stem.isdigit() and int(path.stem) < oldest:
            path.unlink(missing_ok=True)


def drop_all(directory: Path) -> None:
    """Forget all of them: the spool they belong to is gone."""
    for path in directory.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
