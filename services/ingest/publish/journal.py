"""The decoder's journal: what it noted, what Kafka acknowledged, and the state at that point.

The file is a list of facts, one line each, with a CRC in front; the state is their fold. A line
that was half written when the process was killed is cut at the next start. A journal that lost
lines at its end only makes the decoder publish again what readers then trim by number.
"""

import errno
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, assert_never
from zlib import crc32

from services.ingest.spool.reader import SPOOL_START, SpoolPosition
from shared.flow_message import FlowRange, decode_headers, encode_headers

JOURNAL = "decoder.log"
_STREAMS_KEPT = 16
_DISCARDS_KEPT = 256
_COMPACT_BYTES = 4 << 20

Change = tuple[str, str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noted:
    """The range first..last of `stream` is about to be sent; it ends at `after` in the spool."""

    stream: int
    first: int
    last: int
    after: SpoolPosition


@dataclass(frozen=True, slots=True, kw_only=True)
class Acknowledged:
    """Kafka has the range first..last of `stream`.

    after: where the spool is read on. latest_ms: newest `received_at` of the stream so far, UTC.
    ended: the stream's end is published. offset: where the message stands, in `partition` of the
    topic `topic_id`. changes: of the decoder's state over the range.
    """

    stream: int
    first: int
    last: int
    after: SpoolPosition
    latest_ms: int
    ended: bool
    topic_id: str
    partition: int
    offset: int
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Kafka will never take the noted range first..last as it was cut."""

    stream: int
    first: int
    last: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Discarded:
    """The rows of a segment that was never sent are given up; these messages stand in for it.

    ranges: without rows, contiguous, at most one minute each. changes: of the decoder's state over
    the whole segment. next_number, latest_ms, ended: the stream's, after it.
    """

    segment: int
    ranges: tuple[FlowRange, ...]
    changes: tuple[Change, ...]
    stream: int
    next_number: int
    latest_ms: int
    ended: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Rewound:
    """The log `topic_id`, or the spool, is another or lost its tail: publish from `position` on.

    decoder: the decoder's whole state there. The rest is as in `JournalState`.
    """

    position: SpoolPosition
    stream: int | None
    next_number: int
    latest_ms: int
    ended: bool
    decoder: tuple[Change, ...]
    topic_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SpoolRenewed:
    """The spool is another one than before: its files were deleted and begun anew."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JournalState:
    """Where the decoder stands.

    position: where to read the spool, after the last acknowledged range.
    stream: of that range; None before the first. next_number: of the stream's next record.
    latest_ms: newest `received_at` of the stream; ended: its end is published.
    decoder: state of the decoder at `position`.
    noted: ranges that may be in the log though nobody acknowledged them: to be cut exactly so.
    topic_id, offsets: the log as last seen, and the last acknowledged offset of each partition.
    reached: the highest position ever noted; the log may hold everything before it.
    numbers: highest number ever noted of each stream, the newest stream last.
    discards: segments that were given up, by segment.
    """

    position: SpoolPosition = SPOOL_START
    stream: int | None = None
    next_number: int = 0
    latest_ms: int = 0
    ended: bool = False
    decoder: Mapping[str, str] = field(default_factory=dict)
    noted: tuple[Noted, ...] = ()
    topic_id: str = ""
    offsets: Mapping[int, int] = field(default_factory=dict)
    reached: SpoolPosition = SPOOL_START
    numbers: Mapping[int, int] = field(default_factory=dict)
    discards: Mapping[int, Discarded] = field(default_factory=dict)


Entry = Noted | Acknowledged | Refused | Discarded | Rewound | SpoolRenewed | JournalState


def evolve(state: JournalState, entry: Entry) -> JournalState:
    """Fold one entry into the state; a `JournalState` replaces it (the journal was compacted)."""
    match entry:
        case JournalState():
            return entry
        case Noted():
            return replace(
                state,
                noted=(*state.noted, entry),
                reached=max(state.reached, entry.after),
                numbers=_with_number(state.numbers, entry.stream, entry.last),
            )
        case Acknowledged():
            return _acknowledged(state, entry)
        case Refused():
            return replace(state, noted=_without(state.noted, entry))
        case Discarded():
            return replace(state, discards={**state.discards, entry.segment: entry})
        case Rewound():
            return replace(
                state,
                position=entry.position,
                stream=entry.stream,
                next_number=entry.next_number,
                latest_ms=entry.latest_ms,
                ended=entry.ended,
                decoder=apply_changes({}, entry.decoder),
                noted=(),
                topic_id=entry.topic_id,
                offsets={},
            )
        case SpoolRenewed():
            return replace(state, position=SPOOL_START, reached=SPOOL_START, discards={}, noted=())
        case _:
            assert_never(entry)


def _acknowledged(state: JournalState, entry: Acknowledged) -> JournalState:
    same_log = state.topic_id == entry.topic_id
    offsets = {**(state.offsets if same_log else {}), entry.partition: entry.offset}
    return replace(
        state,
        position=entry.after,
        stream=entry.stream,
        # An end mark whose number is below what was sent does not call numbers back.
        next_number=max(entry.last + 1, state.next_number)
        if entry.stream == state.stream
        else entry.last + 1,
        latest_ms=entry.latest_ms,
        ended=entry.ended,
        decoder=apply_changes(state.decoder, entry.changes),
        noted=_without(state.noted, entry),
        topic_id=entry.topic_id,
        offsets=offsets,
        reached=max(state.reached, entry.after),
        numbers=_with_number(state.numbers, entry.stream, entry.last),
    )


def _without(noted: tuple[Noted, ...], done: Acknowledged | Refused) -> tuple[Noted, ...]:
    # A range that reaches into `done` was cut again since: it will never be sent as noted.
    return tuple(n for n in noted if n.stream != done.stream or n.first > done.last)


def _with_number(numbers: Mapping[int, int], stream: int, number: int) -> Mapping[int, int]:
    if numbers.get(stream, 0) >= number:
        return numbers
    merged = {**numbers, stream: number}
    return dict(list(merged.items())[-_STREAMS_KEPT:])


def apply_changes(state: Mapping[str, str], changes: Iterable[Change]) -> Mapping[str, str]:
    """Return `state` with `changes` made; the same object when there are none."""
    changes = tuple(changes)
    if not changes:
        return state
    changed = dict(state)
    for key, value in changes:
        if value is None:
            changed.pop(key, None)
        else:
            changed[key] = value
    return changed


def encode_entry(entry: Entry) -> bytes:
    """Return the line of an entry: CRC, space, JSON, newline."""
    content = {"is": type(entry).__name__} | {
        name: _plain(getattr(entry, name)) for name in type(entry).__dataclass_fields__
    }
    body = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %s\n" % (crc32(body), body)


def _plain(value: object) -> object:
    if isinstance(value, SpoolPosition):
        return [value.segment, value.offset]
    if isinstance(value, Noted | Discarded):
        return json.loads(encode_entry(value)[9:])
    if isinstance(value, FlowRange):
        return [[name, text.decode()] for name, text in encode_headers(value)]
    if isinstance(value, Mapping):
        return [[key, _plain(one)] for key, one in value.items()]
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    return value


def decode_entry(line: bytes) -> Entry | None:
    """Read one line without its newline; None when it is damaged."""
    body = line[9:]
    if line[:9] != b"%08x " % crc32(body):
        return None
    return _entry(json.loads(body))


# Any: the JSON of an entry, which the CRC says was written by `encode_entry`.
def _entry(content: dict[str, Any]) -> Entry:
    kind = content.pop("is")
    for name in ("position", "after", "reached"):
        if name in content:
            content[name] = SpoolPosition(*content[name])
    if "changes" in content:
        content["changes"] = tuple((key, value) for key, value in content["changes"])
    match kind:
        case "Noted":
            return Noted(**content)
        case "Acknowledged":
            return Acknowledged(**content)
        case "Refused":
            return Refused(**content)
        case "Discarded":
            content["ranges"] = tuple(
                decode_headers([(name, text.encode()) for name, text in headers])
                for headers in content["ranges"]
            )
            return Discarded(**content)
        case "Rewound":
            content["decoder"] = tuple((key, value) for key, value in content["decoder"])
            return Rewound(**content)
        case "SpoolRenewed":
            return SpoolRenewed()
        case "JournalState":
            return JournalState(
                **content
                | {
                    "decoder": dict(content["decoder"]),
                    "noted": tuple(_entry(one) for one in content["noted"]),
                    "offsets": dict(content["offsets"]),
                    "numbers": dict(content["numbers"]),
                    "discards": {key: _entry(one) for key, one in content["discards"]},
                }
            )
        case _:
            raise ValueError(f"journal entry {kind} is of a later release")


def read_entries(data: bytes) -> Iterator[tuple[Entry, int]]:
    """Yield each good entry and the offset after it, up to the first damaged or unfinished one."""
    start = 0
    while (end := data.find(b"\n", start)) >= 0:
        entry = decode_entry(data[start:end])
        if entry is None:
            return
        start = end + 1
        yield entry, start


class Journal:
    """The journal file of one worker; its owner holds `decoder.lock`.

    Entries are written without fsync: they outlive a killed process, and after a lost machine an
    older state only publishes again.
    """

    def __init__(
        self,
        directory: Path,
        *,
        compact_bytes: int = _COMPACT_BYTES,
        write: Callable[[int, bytes], int] = os.write,
    ) -> None:
        """Read the journal in `directory`, and cut a half-written entry at its end.

        write: replaced by tests.
        """
        self._write = write
        self._path = directory / JOURNAL
        self._compact_bytes = compact_bytes
        self.state = JournalState()
        self.cut_bytes = 0
        self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        data = self._path.read_bytes()
        self._bytes = 0
        for entry, end in read_entries(data):
            self.state = evolve(self.state, entry)
            self._bytes = end
        if self._bytes < len(data):
            self.cut_bytes = len(data) - self._bytes
            os.ftruncate(self._file, self._bytes)
        self._compact_at = max(compact_bytes, self._bytes)

    def append(self, entry: Entry) -> None:
        """Write `entry` and fold it. Raises OSError (disk full): nothing is folded then."""
        line = encode_entry(entry)
        written = self._write(self._file, line)
        if written < len(line):
            os.ftruncate(self._file, self._bytes)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._path))
        self._bytes += written
        self.state = evolve(self.state, entry)
        if self._bytes > self._compact_at:
            try:
                self.compact()
            except OSError:
                # The entry is written; without room for a second file it waits for more of them.
                self._compact_at = 2 * self._bytes

    def compact(self) -> None:
        """Replace the file by the state alone, without most discards that were published."""
        published = [s for s in self.state.discards if s < self.state.position.segment]
        forgotten = set(sorted(published)[:-_DISCARDS_KEPT])
        self.state = replace(
            self.state,
            discards={s: d for s, d in self.state.discards.items() if s not in forgotten},
        )
        line = encode_entry(self.state)
        new = self._path.with_suffix(".part")
        with new.open("wb") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        os.replace(new, self._path)
        os.close(self._file)
        self._file = os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        self._bytes = len(line)
        self._compact_at = max(self._compact_bytes, 4 * self._bytes)

    @property
    def is_gone(self) -> bool:
        """Whether somebody deleted the file: what is noted here will not be read again."""
        return os.fstat(self._file).st_nlink == 0

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)


def last_acknowledged(directory: Path) -> tuple[int, int] | None:
    """Return the newest stream and its highest number that may be in the log; None without one.

    A noted range counts: it may be in the log though its acknowledgement was never read.
    """
    try:
        data = (directory / JOURNAL).read_bytes()
    except FileNotFoundError:
        return None
    state = JournalState()
    for entry, _ in read_entries(data):
        state = evolve(state, entry)
    return list(state.numbers.items())[-1] if state.numbers else None
