import contextlib
import io
import struct
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.addresses import pack_address
from shared.pcap import Capture, CaptureError, Datagram

EXPORTER = pack_address("192.0.2.7")
EXPORTER_6 = pack_address("2001:db8::7")


def udp(payload: bytes, *, source: int = 1024, destination: int = 2055) -> bytes:
    return struct.pack(">HHHH", source, destination, 8 + len(payload), 0) + payload


def ipv4(inner: bytes, *, protocol: int = 17, fragment: int = 0, identification: int = 1) -> bytes:
    return (
        struct.pack(
            ">BBHHHBBH", 0x45, 0, 20 + len(inner), identification, fragment, 64, protocol, 0
        )
        + EXPORTER[12:]
        + bytes([192, 0, 2, 1])
        + inner
    )


def ipv6(inner: bytes, *, protocol: int = 17) -> bytes:
    return struct.pack(">IHBB", 6 << 28, len(inner), protocol, 64) + EXPORTER_6 + bytes(16) + inner


def ethernet(inner: bytes, *types: int) -> bytes:
    return bytes(12) + b"\0\1".join(struct.pack(">H", ether_type) for ether_type in types) + inner


def pcap(
    frames: Iterable[bytes], *, link_type: int = 1, order: str = "<", magic: int = 0xA1B2C3D4
) -> bytes:
    records = [struct.pack(order + "IHHiIII", magic, 2, 4, 0, 0, 65535, link_type)]
    for index, frame in enumerate(frames):
        length = len(frame)
        records.append(struct.pack(order + "IIII", 1000 + index, 999_999, length, length) + frame)
    return b"".join(records)


def read(capture: bytes) -> list[Datagram]:
    return list(Capture(io.BytesIO(capture)))


WHOLE = Datagram(1_000_999, EXPORTER, 1024, 2055, b"hello")


@pytest.mark.parametrize(
    ("link_type", "frame"),
    [
        (1, ethernet(ipv4(udp(b"hello")), 0x0800)),
        (1, ethernet(ipv4(udp(b"hello")), 0x8100, 0x0800)),
        (1, ethernet(ipv4(udp(b"hello")), 0x88A8, 0x8100, 0x0800)),
        (1, ethernet(ipv4(udp(b"hello")), 0x0800) + bytes(18)),
        (113, bytes(14) + b"\x08\0" + ipv4(udp(b"hello"))),
        (276, b"\x08\0" + bytes(18) + ipv4(udp(b"hello"))),
        (0, b"\2\0\0\0" + ipv4(udp(b"hello"))),
        (108, b"\0\0\0\2" + ipv4(udp(b"hello"))),
        (101, ipv4(udp(b"hello"))),
        (228, ipv4(udp(b"hello"))),
    ],
)
def test_every_link_type_gives_the_same_datagram(link_type: int, frame: bytes) -> None:
    assert read(pcap([frame], link_type=link_type)) == [WHOLE]


@pytest.mark.parametrize("order", ["<", ">"])
def test_byte_orders_and_resolutions(order: str) -> None:
    frame = ethernet(ipv4(udp(b"hello")), 0x0800)
    assert read(pcap([frame], order=order)) == [WHOLE]
    (found,) = read(pcap([frame], order=order, magic=0xA1B23C4D))
    assert found.time_ms == 1_000_000


def test_ipv6_with_extension_headers() -> None:
    options = bytes([17, 0]) + bytes(6)
    frames = [ipv6(udp(b"hello")), ipv6(options + udp(b"hello"), protocol=60)]
    found = read(pcap(frames, link_type=229))
    assert [(d.source, d.payload) for d in found] == [(EXPORTER_6, b"hello")] * 2


def fragments_of(inner: bytes) -> list[bytes]:
    cuts = [inner[:16], inner[16:32], inner[32:]]
    return [
        ipv4(cut, fragment=2 * index | (0x2000 if index < 2 else 0))
        for index, cut in enumerate(cuts)
    ]


@pytest.mark.parametrize("arrival", [(0, 1, 2), (2, 1, 0), (1, 1, 0, 2)])
def test_ipv4_fragments_in_any_order_become_one_datagram(arrival: tuple[int, ...]) -> None:
    payload = bytes(range(60))
    frames = fragments_of(udp(payload))
    capture = Capture(io.BytesIO(pcap([frames[i] for i in arrival], link_type=101)))
    assert [d.payload for d in capture] == [payload]
    assert capture.skipped == {"fragment": len(arrival) - 1}


def test_ipv6_fragments_become_one_datagram() -> None:
    inner = udp(bytes(range(40)))
    first = bytes([17, 0]) + struct.pack(">HI", 0 | 1, 9) + inner[:24]
    last = bytes([17, 0]) + struct.pack(">HI", 24, 9) + inner[24:]
    found = read(pcap([ipv6(first, protocol=44), ipv6(last, protocol=44)], link_type=101))
    assert [d.payload for d in found] == [bytes(range(40))]


def test_fragments_without_an_end_stay_bounded() -> None:
    frames = [
        ipv4(bytes(1400), fragment=0x2000, identification=number % 65536)
        for number in range(10_000)
    ]
    capture = Capture(io.BytesIO(pcap(frames, link_type=101)))
    assert list(capture) == []
    assert capture._reader._fragments._held_bytes <= 8 << 20


def test_other_frames_are_counted_not_silent() -> None:
    frames = [
        ethernet(bytes(40), 0x0806),
        ethernet(ipv4(bytes(20), protocol=6), 0x0800),
        ethernet(ipv4(b"\0\1"), 0x0800),
    ]
    capture = Capture(io.BytesIO(pcap(frames)))
    assert list(capture) == []
    assert capture.skipped == {"not_ip": 1, "not_udp": 1, "cut_header": 1}
    assert capture.frames == 3


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    body += bytes(-len(body) % 4)
    size = len(body) + 12
    return struct.pack(order + "II", kind, size) + body + struct.pack(order + "I", size)


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(order + "IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int, *options: bytes, order: str = "<") -> bytes:
    return block(1, struct.pack(order + "HHI", link_type, 0, 0) + b"".join(options), order)


def packet(number: int, ticks: int, frame: bytes, order: str = "<") -> bytes:
    head = struct.pack(
        order + "IIIII", number, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
    )
    return block(6, head + frame, order)


def test_pcapng_with_two_interfaces_two_sections_and_resolutions() -> None:
    nanoseconds = struct.pack("<HHBxxx", 9, 1, 9)
    shifted = struct.pack("<HHq", 14, 8, 100)
    capture = (
        section()
        + interface(1)
        + interface(101, nanoseconds, shifted, struct.pack("<HH", 0, 0))
        + packet(0, 5_000_000, ethernet(ipv4(udp(b"a")), 0x0800))
        + packet(1, 6_000_000_000, ipv4(udp(b"b")))
        + block(3, struct.pack("<I", 43) + ethernet(ipv4(udp(b"c")), 0x0800))
        + block(0x0BAD, b"anything")
        + section(">")
        + interface(101, order=">")
        + packet(0, 7_000_000, ipv4(udp(b"d")), ">")
    )
    found = read(capture)
    assert [(d.time_ms, d.payload) for d in found][0::3] == [(5000, b"a"), (7000, b"d")]
    assert found[1] == Datagram(106_000, EXPORTER, 1024, 2055, b"b")


def test_a_truncated_capture_gives_its_whole_records_first() -> None:
    frame = ethernet(ipv4(udp(b"hello")), 0x0800)
    for capture in (pcap([frame, frame]), section() + interface(1) + packet(0, 0, frame) * 2):
        found: list[Datagram] = []
        reader = iter(Capture(io.BytesIO(capture[:-3])))
        with pytest.raises(CaptureError, match="truncated"):
            found.extend(reader)
        assert [d.payload for d in found] == [b"hello"]


@pytest.mark.parametrize("foreign", [b"", b"ab", b"#!/bin/sh\n", b"\x1f\x8b\x08\0", bytes(100)])
def test_a_foreign_file_is_one_sentence(foreign: bytes) -> None:
    with pytest.raises(CaptureError):
        read(foreign)


@given(st.binary(max_size=200), st.sampled_from([0, 1, 101, 113, 276]))
def test_any_frame_is_read_or_counted(frame: bytes, link_type: int) -> None:
    capture = Capture(io.BytesIO(pcap([frame], link_type=link_type)))
    assert len(list(capture)) + capture.skipped.total() == 1


@given(st.binary(max_size=300), st.sampled_from([b"", pcap([]), section() + interface(1)]))
def test_any_file_is_read_or_refused(tail: bytes, start: bytes) -> None:
    with contextlib.suppress(CaptureError):
        read(start + tail)
