"""Capture files (pcap and pcapng) as the UDP datagrams inside, in file order.

The containers are read here, not through a library: the ones in Python give a cut record as if it
were whole, know one interface per pcapng file, and keep times as floats. `shared/frames.py` takes
the frames apart.
"""

import struct
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from shared.frames import FrameReader

# tcpdump's largest snapshot is 262,144 bytes; whatever claims more is damage, not a frame.
_FRAME_BYTES_MAX = 1 << 20
_BLOCK_BYTES_MAX = 1 << 24
_SECTION_HEADER = 0x0A0D0D0A
_BYTE_ORDER = 0x1A2B3C4D
# Magic number -> (ticks per second, bytes of a record header); modified pcap adds 8 bytes.
_PCAP_MAGIC = {
    0xA1B2C3D4: (1_000_000, 16),
    0xA1B23C4D: (1_000_000_000, 16),
    0xA1B2CD34: (1_000_000, 24),
}


class CaptureError(ValueError):
    """A file that is no capture, or one that ends in the middle of a record."""


class Datagram(NamedTuple):
    """One UDP datagram: time in ms since 1970 UTC, the source as 16 address bytes."""

    time_ms: int
    source: bytes
    source_port: int
    destination_port: int
    payload: bytes


class _Frame(NamedTuple):
    time_ms: int
    link_type: int
    frame: bytes


class Capture:
    """The UDP datagrams of an open capture file; `stream.tell()` shows the progress.

    Iterating raises CaptureError for a foreign file, and for a truncated one after everything
    before the cut was given. A payload cut by the snapshot length is given as it is. IP fragments
    are put together, within bounds.

    frames: frames read so far; skipped: how many gave no datagram, by reason.
    """

    def __init__(self, stream: BinaryIO) -> None:
        """Take a binary stream at its start."""
        self._stream = stream
        self._reader = FrameReader()
        self.frames = 0

    @property
    def skipped(self) -> Counter[str]:
        """Frames without a UDP datagram, by reason; all but the last fragment of one count."""
        return self._reader.skipped

    def __iter__(self) -> Iterator[Datagram]:
        """Yield the datagrams in file order."""
        for time_ms, link_type, frame in _frames(self._stream):
            self.frames += 1
            found = self._reader.datagram(link_type, frame, time_ms)
            if found is not None:
                yield Datagram(time_ms, *found)


def _frames(stream: BinaryIO) -> Iterator[_Frame]:
    start = stream.read(4)
    if len(start) < 4:
        raise CaptureError("the file is empty or too short to be a capture")
    if start[:2] == b"\x1f\x8b":
        raise CaptureError("the file is gzip-compressed: unpack it first")
    big = struct.unpack(">I", start)[0]
    little = struct.unpack("<I", start)[0]
    if big == _SECTION_HEADER:
        return _pcapng_frames(stream)
    if big in _PCAP_MAGIC:
        return _pcap_frames(stream, ">", *_PCAP_MAGIC[big])
    if little in _PCAP_MAGIC:
        return _pcap_frames(stream, "<", *_PCAP_MAGIC[little])
    raise CaptureError(f"the file is neither pcap nor pcapng (it starts with {start.hex()})")


def _read(stream: BinaryIO, size: int, what: str) -> bytes:
    found = stream.read(size)
    if len(found) < size:
        raise CaptureError(
            f"the capture is truncated: {what} at its end has {len(found)} of {size} bytes"
        )
    return found


def _pcap_frames(
    stream: BinaryIO, order: str, ticks_per_s: int, header_bytes: int
) -> Iterator[_Frame]:
    # The upper bits of the link type carry frame check sequence facts.
    link_type = struct.unpack(order + "I", _read(stream, 20, "the file header")[16:])[0] & 0xFFFF
    ticks_per_ms = ticks_per_s // 1000
    while header := stream.read(header_bytes):
        if len(header) < header_bytes:
            raise CaptureError("the capture is truncated: it ends inside a record header")
        seconds, ticks, kept_bytes, _ = struct.unpack_from(order + "IIII", header)
        if kept_bytes > _FRAME_BYTES_MAX:
            raise CaptureError(f"the capture is damaged: a record claims {kept_bytes} bytes")
        frame = _read(stream, kept_bytes, "the record")
        yield _Frame(seconds * 1000 + ticks // ticks_per_ms, link_type, frame)


class _Interface(NamedTuple):
    link_type: int
    ticks_per_s: int
    offset_s: int
    snapshot_bytes: int


def _pcapng_frames(stream: BinaryIO) -> Iterator[_Frame]:
    """Walk the blocks of a pcapng file whose first 4 bytes are read already."""
    order = _section_order(stream)
    interfaces: list[_Interface] = []
    last_ms = 0
    while start := stream.read(4):
        if len(start) < 4:
            raise CaptureError("the capture is truncated: it ends inside a block header")
        if struct.unpack(">I", start)[0] == _SECTION_HEADER:
            order = _section_order(stream)
            interfaces = []
            continue
        kind = struct.unpack(order + "I", start)[0]
        body = _block_body(stream, order)
        try:
            if kind == 1:
                interfaces.append(_interface(order, body))
            elif kind in (2, 6):
                frame = _packet(order, kind, body, interfaces)
                last_ms = frame.time_ms
                yield frame
            elif kind == 3 and interfaces:
                yield _simple_packet(order, body, interfaces[0], last_ms)
        except (struct.error, IndexError) as error:
            raise CaptureError(f"the capture is damaged: block type {kind}: {error}") from error


def _section_order(stream: BinaryIO) -> str:
    """Read the rest of a section header block; return its byte order as struct writes it."""
    rest = _read(stream, 8, "the section header")
    for order in "<>":
        if struct.unpack_from(order + "I", rest, 4)[0] == _BYTE_ORDER:
            size = struct.unpack_from(order + "I", rest)[0]
            if not 28 <= size <= _BLOCK_BYTES_MAX or size % 4:
                raise CaptureError(f"the capture is damaged: a section header of {size} bytes")
            _read(stream, size - 12, "the section header")
            return order
    raise CaptureError("the file is neither pcap nor pcapng (a section without byte order)")


def _block_body(stream: BinaryIO, order: str) -> bytes:
    size = struct.unpack(order + "I", _read(stream, 4, "the block header"))[0]
    if not 12 <= size <= _BLOCK_BYTES_MAX or size % 4:
        raise CaptureError(f"the capture is damaged: a block claims {size} bytes")
    return _read(stream, size - 8, "the block")[:-4]


def _interface(order: str, body: bytes) -> _Interface:
    link_type, _, snapshot_bytes = struct.unpack_from(order + "HHI", body)
    ticks_per_s, offset_s, at = 1_000_000, 0, 8
    while at + 4 <= len(body):
        code, size = struct.unpack_from(order + "HH", body, at)
        if code == 0:
            break
        if code == 9 and size >= 1:  # if_tsresol: negative power of 10, or of 2 with the top bit
            power = body[at + 4] & 0x7F
            ticks_per_s = 2 ** min(power, 63) if body[at + 4] & 0x80 else 10 ** min(power, 18)
        elif code == 14 and size >= 8:  # if_tsoffset, seconds
            offset_s = struct.unpack_from(order + "q", body, at + 4)[0]
        at += 4 + (size + 3) // 4 * 4
    return _Interface(link_type, ticks_per_s, offset_s, snapshot_bytes)


def _packet(order: str, kind: int, body: bytes, interfaces: list[_Interface]) -> _Frame:
    # Type 6 is the enhanced packet block; type 2 the obsolete one, with a 16-bit interface id.
    head = struct.unpack_from(order + ("IIIII" if kind == 6 else "HHIIII"), body)
    high, low, kept_bytes = (head[1:4]) if kind == 6 else (head[2:5])
    interface = interfaces[head[0]]
    ticks = high << 32 | low
    time_ms = ticks * 1000 // interface.ticks_per_s + interface.offset_s * 1000
    if kept_bytes > len(body) - 20:
        raise CaptureError("the capture is damaged: a packet is longer than its block")
    return _Frame(time_ms, interface.link_type, body[20 : 20 + kept_bytes])


def _simple_packet(order: str, body: bytes, interface: _Interface, last_ms: int) -> _Frame:
    """Return a simple packet block's frame; it has no time, so it takes the one before it."""
    frame_bytes = struct.unpack_from(order + "I", body)[0]
    kept_bytes = min(frame_bytes, interface.snapshot_bytes or frame_bytes)
    return _Frame(last_ms, interface.link_type, body[4 : 4 + kept_bytes])
