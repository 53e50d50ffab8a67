"""Records survive whatever happens to the bytes around them."""

from hypothesis import given
from hypothesis import strategies as st

from services.ingest.spool.format import (
    HEADER_BYTES,
    WORKER_BYTES_MAX,
    RecordKind,
    SegmentHeader,
    SpoolRecord,
    crc_seed,
    decode_header,
    decode_losses,
    decode_records,
    encode_header,
    encode_losses,
    encode_record,
    find_record,
)
from shared.losses import Loss, LossReason

STREAM = 0xFEED_FACE_CAFE_BEEF
SEED = crc_seed(STREAM)

payloads = st.one_of(
    st.binary(max_size=60),
    # A payload that itself holds records, as an exporter of bad intent would send.
    st.builds(lambda number: encode_record(SEED ^ 1, RecordKind.END, number, 0), st.integers(1, 9)),
)
record_lists = st.lists(
    st.builds(
        SpoolRecord,
        kind=st.sampled_from(RecordKind),
        number=st.integers(1, 2**64 - 1),
        received_at_ms=st.integers(0, 2**63),
        exporter=st.binary(min_size=16, max_size=16),
        port=st.integers(0, 65_535),
        payload=payloads,
    ),
    min_size=1,
    max_size=6,
)


def encode(record: SpoolRecord) -> bytes:
    return encode_record(
        SEED,
        record.kind,
        record.number,
        record.received_at_ms,
        record.exporter,
        record.port,
        bytes(record.payload),
    )


def decode(data: bytes) -> tuple[list[SpoolRecord], int]:
    records: list[SpoolRecord] = []
    end = decode_records(memoryview(data), SEED, records, [])
    return [record._replace(payload=bytes(record.payload)) for record in records], end


@given(record_lists)
def test_what_was_written_is_read(records: list[SpoolRecord]) -> None:
    data = b"".join(map(encode, records))
    assert decode(data) == (records, len(data))


@given(record_lists, st.data())
def test_any_cut_of_the_tail_leaves_the_whole_records(
    records: list[SpoolRecord], draw: st.DataObject
) -> None:
    encoded = [encode(record) for record in records]
    data = b"".join(encoded)
    cut = draw.draw(st.integers(0, len(data)))
    whole = [i for i in range(len(encoded) + 1) if sum(map(len, encoded[:i])) <= cut][-1]
    assert decode(data[:cut]) == (records[:whole], sum(map(len, encoded[:whole])))


@given(record_lists, st.data())
def test_a_flipped_byte_costs_its_own_record_only(
    records: list[SpoolRecord], draw: st.DataObject
) -> None:
    encoded = [encode(record) for record in records]
    damaged = draw.draw(st.integers(0, len(records) - 1))
    at = draw.draw(st.integers(0, len(encoded[damaged]) - 1))
    flip = draw.draw(st.integers(1, 255))
    start = sum(map(len, encoded[:damaged]))
    data = bytearray(b"".join(encoded))
    data[start + at] ^= flip
    before, end = decode(bytes(data))
    assert (before, end) == (records[:damaged], start)
    found = find_record(bytes(data), SEED, end + 1)
    if damaged == len(records) - 1:
        assert found is None
    else:
        assert found == start + len(encoded[damaged])
        assert decode(bytes(data[found:]))[0] == records[damaged + 1 :]


def test_a_record_of_another_stream_is_none() -> None:
    foreign = encode_record(crc_seed(STREAM + 1), RecordKind.DATAGRAM, 1, 0, payload=b"x")
    assert decode(foreign) == ([], 0)
    assert find_record(foreign, SEED, 0) is None


def test_a_header_survives_damage_to_one_of_its_copies() -> None:
    header = SegmentHeader(
        stream=STREAM,
        worker="w" * WORKER_BYTES_MAX,
        started_at_ms=1,
        partitions=4,
        first_number=7,
        socket_cookie=2**64 - 1,
        socket_drops=9,
    )
    data = encode_header(header)
    assert len(data) == HEADER_BYTES
    for at in range(HEADER_BYTES):
        damaged = bytearray(data)
        damaged[at] ^= 0x40
        assert decode_header(bytes(damaged)) == header
    assert decode_header(bytes(HEADER_BYTES)) is None
    assert decode_header(data[:40]) is None


def test_losses_of_a_mark_are_read_back() -> None:
    losses = (
        Loss(b"\0" * 16, LossReason.KERNEL_DROP, 3),
        Loss(b"\0" * 10 + b"\xff\xff\x0a\0\0\1", LossReason.RECEIVER_OVERFLOW, 2**40, 5),
    )
    assert decode_losses(encode_losses(losses)) == losses
