"""Where each kept segment was cut into ranges, so that it can be cut exactly so once more.

A log that lost its tail is filled again from the oldest kept segment. Readers who have some of it
trim by number, but losses belong to a whole range, and sums on `rates` to its first datagram: both
are only known again when the range is the same.

One small file beside each segment: the id of its stream, then 8 bytes per range, the offset behind
its last record; a negative one takes that offset back. So it is at most a sixth of its segment, and
goes with it. The id is there for a machine that lost power: the segment may be gone, and its number
taken by another, though this file was written.
"""

import contextlib
import errno
import os
import struct
from collections.abc import Callable
from pathlib import Path

from services.ingest.spool.reader import SpoolPosition

_SUFFIX = ".cuts"
_STREAM = struct.Struct("<Q")
_OFFSET = struct.Struct("<q")


def _path(directory: Path, segment: int) -> Path:
    return directory / f"{segment:012d}{_SUFFIX}"


def load_cuts(directory: Path, segment: int, stream: int) -> list[int]:
    """Return the offsets at which `segment` of `stream` was cut, ascending; empty if unknown."""
    try:
        data = _path(directory, segment).read_bytes()
    except FileNotFoundError:
        return []
    cuts: set[int] = set()
    if data[: _STREAM.size] != _STREAM.pack(stream):
        return []
    data = data[_STREAM.size : len(data) // _OFFSET.size * _OFFSET.size]
    for (offset,) in _OFFSET.iter_unpack(data):
        if offset > 0:
            cuts.add(offset)
        else:
            cuts.discard(-offset)
    return sorted(cuts)


def drop_cuts(directory: Path, segment: int) -> None:
    """Forget where `segment` was cut."""
    _path(directory, segment).unlink(missing_ok=True)


def drop_cuts_before(directory: Path, oldest: int) -> None:
    """Forget where segments below `oldest` were cut."""
    for path in directory.glob(f"*{_SUFFIX}"):
        if path.stem.isdigit() and int(path.stem) < oldest:
            path.unlink(missing_ok=True)


def drop_all_cuts(directory: Path) -> None:
    """Forget all of them: the spool they belong to is gone."""
    for path in directory.glob(f"*{_SUFFIX}"):
        with contextlib.suppress(FileNotFoundError):
            path.unlink()


class Cuts:
    """Notes cuts, segment after segment; one owner. Methods raise OSError."""

    def __init__(self, directory: Path, *, write: Callable[[int, bytes], int] = os.write) -> None:
        """Open nothing yet. write: replaced by tests."""
        self._directory = directory
        self._write = write
        self._segment = -1
        self._stream = 0
        self._file = -1
        self._known: set[int] = set()

    def note(self, stream: int, at: SpoolPosition) -> None:
        """Note that a range of `stream` ends at `at`, before it is sent."""
        self._open(at.segment, stream)
        if at.offset not in self._known:
            self._append(_OFFSET.pack(at.offset))
            self._known.add(at.offset)

    def take_back(self, stream: int, at: SpoolPosition) -> None:
        """Forget a cut whose range will never be in the log."""
        self._open(at.segment, stream)
        if at.offset in self._known:
            self._append(_OFFSET.pack(-at.offset))
            self._known.discard(at.offset)

    def close(self) -> None:
        """Close the file that is open."""
        if self._file >= 0:
            os.close(self._file)
        self._segment = self._file = -1

    def _open(self, segment: int, stream: int) -> None:
        if segment == self._segment and stream == self._stream and os.fstat(self._file).st_nlink:
            return
        self.close()
        path = _path(self._directory, segment)
        known = set(load_cuts(self._directory, segment, stream))
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
        # A machine that lost power may have left a part of the last one, or another stream's.
        whole = os.fstat(file).st_size // _OFFSET.size * _OFFSET.size
        os.ftruncate(file, whole if known else 0)
        self._segment, self._stream, self._file, self._known = segment, stream, file, known
        if not known:
            try:
                self._append(_STREAM.pack(stream))
            except OSError:
                # Without it what follows would be nobody's: the next call begins again.
                self.close()
                raise

    def _append(self, entry: bytes) -> None:
        written = self._write(self._file, entry)
        if written < len(entry):
            os.ftruncate(self._file, os.fstat(self._file).st_size - written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._directory))
