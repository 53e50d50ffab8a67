"""Properties of the decoder that its users lean on, for any bytes and any cut into ranges."""

import itertools
import json
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.decode.decoding import Change, Decoded, DecoderState, Limits, RangeBuilder
from shared.addresses import pack_address
from shared.flow_record import unknown_columns
from shared.losses import LossReason

NOW_MS = 1_790_000_000_000
A, B = pack_address("192.0.2.1"), pack_address("2001:db8::1")
Datagram = tuple[int, bytes, bytes]
"""(ms after NOW_MS, exporter, payload)."""


def set_of(set_id: int, body: bytes) -> bytes:
    return struct.pack(">HH", set_id, 4 + len(body)) + body


def template(template_id: int, *fields: tuple[int, int]) -> bytes:
    body = b"".join(struct.pack(">HH", *field) for field in fields)
    return struct.pack(">HH", template_id, len(fields)) + body


def v9(
    *sets: bytes, domain: int = 1, uptime: int = 1_000_000, sequence: int = 0, after_s: int = 0
) -> bytes:
    """Return a v9 message of `after_s` seconds after NOW_MS."""
    seconds = NOW_MS // 1000 + after_s
    return struct.pack(">HHIIII", 9, 1, uptime, seconds, sequence, domain) + b"".join(sets)


def ipfix(*sets: bytes, domain: int = 1) -> bytes:
    body = b"".join(sets)
    return struct.pack(">HHIII", 10, 16 + len(body), NOW_MS // 1000, 0, domain) + body


def v5(records: int = 1, *, count: int | None = None, sampling: int = 0) -> bytes:
    count = records if count is None else count
    header = struct.pack(">HHIIIIBBH", 5, count, 10_000, NOW_MS // 1000, 0, 0, 1, 2, sampling)
    return header + bytes(range(48)) * records


def build(state: DecoderState, datagrams: Iterable[Datagram], first: int = 1) -> RangeBuilder:
    builder = RangeBuilder(state, collector="lab/0", stream=9)
    for number, (after_ms, exporter, payload) in enumerate(datagrams, first):
        builder.add(number, NOW_MS + after_ms, exporter, 4000, payload)
    return builder


def rows_of(decoded: Decoded) -> list[dict[str, Any]]:
    return decoded.batch.to_pylist() if decoded.batch is not None else []


def canonical(rows: Iterable[dict[str, Any]]) -> list[str]:
    """Rows without what a batch leaves out when all its records have none of it."""
    return sorted(repr(sorted((k, v) for k, v in row.items() if not _absent(v))) for row in rows)


def _absent(value: Any) -> bool:
    return value in (0, 255, None) or value == bytes(16) or str(value).startswith("1970")


def fold(changes: Iterable[Change]) -> dict[str, str]:
    folded: dict[str, str] = {}
    for key, text in changes:
        if text is None:
            folded.pop(key, None)
        else:
            folded[key] = text
    return folded


SMALL = Limits(
    fields_per_template=6,
    templates_per_exporter=3,
    templates=5,
    fields_per_exporter=14,
    fields=20,
    distinct_fields=12,
    waiting_bytes_per_exporter=700,
    waiting_bytes=1000,
    waiting_ms=2000,
    template_lifetime_ms=30_000,
    template_touch_ms=1000,
)

FIELD = st.tuples(
    st.sampled_from([1, 2, 4, 7, 8, 10, 21, 22, 27, 32, 34, 95, 152, 156, 160, 231, 232, 233, 999]),
    st.sampled_from([0, 1, 2, 3, 4, 7, 8, 16, 65535]),
)
TEMPLATE_ID = st.integers(255, 260)


@st.composite
def template_sets(draw: st.DrawFn, set_id: int) -> bytes:
    count = draw(st.integers(1, 3))
    fields = st.lists(FIELD, max_size=8)
    body = b"".join(template(draw(TEMPLATE_ID), *draw(fields)) for _ in range(count))
    return set_of(set_id, body)


@st.composite
def options_sets(draw: st.DrawFn, version: int) -> bytes:
    fields = draw(st.lists(FIELD, max_size=5))
    scopes = draw(st.integers(0, 2))
    body = b"".join(struct.pack(">HH", *field) for field in fields)
    counts = (len(fields), scopes) if version == 10 else (4 * scopes, 4 * (len(fields) - scopes))
    head = struct.pack(">HHH", draw(TEMPLATE_ID), counts[0], max(counts[1], 0))
    return set_of(3 if version == 10 else 1, head + body)


DATA_SET = st.builds(set_of, st.integers(0, 261), st.binary(max_size=120))
ANY_SET = st.binary(max_size=12)
MESSAGE9 = st.builds(
    lambda sets, domain, uptime: v9(*sets, domain=domain, uptime=uptime),
    st.lists(template_sets(0) | options_sets(9) | DATA_SET | ANY_SET, max_size=4),
    st.integers(0, 1),
    st.sampled_from([0, 10, 1_000_000, 2**32 - 1]),
)
MESSAGE10 = st.builds(
    lambda messages: b"".join(ipfix(*sets) for sets in messages),
    st.lists(
        st.lists(template_sets(2) | options_sets(10) | DATA_SET | ANY_SET, max_size=4), max_size=3
    ),
)
MESSAGE5 = st.builds(lambda n, c: v5(n, count=c), st.integers(0, 3), st.integers(0, 40))
PAYLOAD = MESSAGE9 | MESSAGE10 | MESSAGE5 | st.binary(max_size=80)
DATAGRAMS = st.lists(
    st.tuples(st.integers(0, 40_000), st.sampled_from([A, B]), PAYLOAD), max_size=12
).map(lambda found: sorted(found, key=lambda datagram: datagram[0]))


@given(DATAGRAMS)
@settings(deadline=None)
def test_any_bytes_become_rows_or_counts(datagrams: list[Datagram]) -> None:
    builder = build(DecoderState(SMALL), datagrams)
    most = builder.rows
    decoded = builder.finish()
    assert decoded.rows == len(rows_of(decoded)) <= most
    assert sum(seen.datagrams for seen in decoded.seen) == len(datagrams)
    assert sum(seen.flows for seen in decoded.seen) == decoded.rows
    if decoded.batch is not None:
        decoded.batch.validate(full=True)
        assert unknown_columns(decoded.batch.schema) == []
        assert decoded.sums is not None
        for direction in (0, 1):
            chosen = decoded.sums.filter(pa.compute.equal(decoded.sums["direction"], direction))
            assert pa.compute.sum(chosen["flows"]).as_py() == decoded.rows
            if "bytes" in decoded.batch.schema.names:
                total = sum(decoded.batch["bytes"].to_pylist()) % 2**64
                assert sum(chosen["bytes"].to_pylist()) % 2**64 == total


@given(DATAGRAMS, st.data())
@settings(deadline=None)
def test_any_cut_into_ranges_gives_the_same_rows_and_losses(
    datagrams: list[Datagram], data: st.DataObject
) -> None:
    whole = build(DecoderState(SMALL), datagrams).finish()
    state = DecoderState(SMALL)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(datagrams)))) | {0, len(datagrams)})
    parts = []
    for first, end in itertools.pairwise(cuts):
        state.begin()
        parts.append(build(state, datagrams[first:end], first + 1).finish())
    rows = [row for part in parts for row in rows_of(part)]
    assert canonical(rows) == canonical(rows_of(whole))
    losses: dict[tuple[bytes, LossReason], list[int]] = {}
    for loss in (loss for part in parts for loss in part.losses):
        counted = losses.setdefault((loss.exporter, loss.reason), [0, 0])
        counted[0] += loss.datagrams
        counted[1] += loss.flows
    whole_losses = {(e, r): [datagrams, flows] for e, r, datagrams, flows in _plain(whole)}
    assert losses == whole_losses


def _plain(decoded: Decoded) -> list[tuple[bytes, LossReason, int, int]]:
    return [(x.exporter, x.reason, x.datagrams, x.flows) for x in decoded.losses]


@given(DATAGRAMS, DATAGRAMS, DATAGRAMS)
@settings(deadline=None)
def test_rolled_back_is_as_if_never_begun(
    before: list[Datagram], undone: list[Datagram], after: list[Datagram]
) -> None:
    plain, rolled = DecoderState(SMALL), DecoderState(SMALL)
    build(plain, before)
    build(rolled, before)
    rolled.begin()
    build(rolled, undone)
    rolled.rollback()
    assert rolled.changes() == []
    assert rolled.snapshot() == plain.snapshot()
    plain.begin()
    rolled.begin()
    assert same_bytes(build(plain, after).finish(), build(rolled, after).finish())
    assert rolled.changes() == plain.changes()
    assert rolled.snapshot() == plain.snapshot()


def same_bytes(one: Decoded, other: Decoded) -> bool:
    if one.batch is None or other.batch is None:
        return one.batch is other.batch and one.losses == other.losses
    return (
        one.batch.schema == other.batch.schema
        and one.batch.serialize().equals(other.batch.serialize())
        and one.losses == other.losses
    )


@given(st.lists(DATAGRAMS, max_size=4), DATAGRAMS)
@settings(deadline=None)
def test_the_fold_of_all_changes_is_the_state(
    ranges: list[list[Datagram]], after: list[Datagram]
) -> None:
    live, followed = DecoderState(SMALL), DecoderState(SMALL)
    folded: dict[str, str] = {}
    for datagrams in ranges:
        live.begin()
        build(live, datagrams)
        changes = json.loads(json.dumps(live.changes()))
        followed.apply((key, text) for key, text in changes)
        folded = fold([*folded.items(), *((key, text) for key, text in changes)])
    resumed = DecoderState(SMALL)
    resumed.apply(folded.items())
    assert sorted(folded.items()) == live.snapshot() == followed.snapshot() == resumed.snapshot()
    expected = build(live, after).finish()
    assert same_bytes(expected, build(resumed, after).finish())
    assert same_bytes(expected, build(followed, after).finish())


@given(st.lists(DATAGRAMS, max_size=3))
@settings(deadline=None)
def test_hostile_templates_and_waiting_sets_stay_bounded(ranges: list[list[Datagram]]) -> None:
    state = DecoderState(SMALL)
    for datagrams in ranges:
        build(state, datagrams)
        assert len(state._known) <= SMALL.templates
        assert state._distinct_fields <= SMALL.distinct_fields
        assert all(
            templates <= SMALL.templates_per_exporter and fields <= SMALL.fields_per_exporter
            for templates, fields in state._held_of.values()
        )
        assert state._fields == sum(fields for _, fields in state._held_of.values())
        assert state._fields <= SMALL.fields
        assert state._waiting.held_bytes <= SMALL.waiting_bytes
        distinct = {known.definition for known in state._known.values()}
        assert sum(len(d.fields) for d in distinct) == state._distinct_fields
        assert set(state._definitions) == distinct


def flood(state: DecoderState, count: int) -> RangeBuilder:
    """Sets without template from a new exporter each."""
    data = v9(set_of(300, bytes(1000)))
    return build(state, ((0, i.to_bytes(16, "big"), data) for i in range(count)))


def test_the_waiting_bound_is_what_keeps_memory_small() -> None:
    bounded, unbounded = (
        DecoderState(Limits(waiting_bytes=50_000)),
        DecoderState(Limits(waiting_bytes=1 << 40)),
    )
    losses = flood(bounded, 200).finish().losses
    assert bounded._waiting.held_bytes <= 50_000
    assert sum(loss.datagrams for loss in losses) == 200 - len(bounded._waiting)
    # The control: without the bound every set is kept.
    assert flood(unbounded, 200).finish().losses == ()
    assert unbounded._waiting.held_bytes == 200 * 1200


def data_rows(payloads: Sequence[bytes], state: DecoderState | None = None) -> list[dict[str, Any]]:
    """Decode datagrams of one exporter, a second apart."""
    datagrams = [(1000 * index, A, payload) for index, payload in enumerate(payloads)]
    return rows_of(build(state or DecoderState(), datagrams).finish(wire_order=True))


PORTS = template(256, (7, 2), (11, 2))


def test_data_waits_for_its_template_and_takes_its_datagram() -> None:
    late = v9(set_of(256, struct.pack(">HH", 1, 2)))
    brings = v9(set_of(0, PORTS), set_of(256, struct.pack(">HH", 3, 4)))
    rows = data_rows([late, brings])
    assert [(r["src_port"], r["datagram"]) for r in rows] == [(1, 2), (3, 2)]
    assert {int(r["received_at"].timestamp() * 1000) for r in rows} == {NOW_MS + 1000}


def test_data_that_waited_too_long_is_a_loss_where_it_expires() -> None:
    late = v9(set_of(256, struct.pack(">HH", 1, 2)))
    limits = Limits(waiting_ms=500)
    decoded = build(DecoderState(limits), [(0, A, late), (501, B, v5()), (502, A, late)]).finish()
    assert _plain(decoded) == [(A, LossReason.TEMPLATE_MISSING, 1, 0)]
    assert [s.undecoded_sets for s in decoded.seen] == [1, 0]
    # The control: with time left it is no loss.
    patient = build(DecoderState(), [(0, A, late), (501, B, v5()), (502, A, late)]).finish()
    assert patient.losses == ()


def test_a_clock_mark_expires_waiting_sets_too() -> None:
    state = DecoderState(Limits(waiting_ms=500))
    build(state, [(0, A, v9(set_of(256, b"\0\1\0\2")))]).finish()
    builder = RangeBuilder(state, collector="lab/0", stream=9)
    builder.expire(NOW_MS + 501)
    assert _plain(builder.finish()) == [(A, LossReason.TEMPLATE_MISSING, 1, 0)]


def test_templates_belong_to_exporter_version_and_domain() -> None:
    data = set_of(256, struct.pack(">HH", 1, 2))
    datagrams = [
        (0, A, v9(set_of(0, PORTS), domain=1)),
        (0, A, v9(data, domain=2)),
        (0, A, ipfix(data)),
        (0, B, v9(data)),
        (0, A, v9(data)),
    ]
    decoded = build(DecoderState(), datagrams).finish()
    assert [row["datagram"] for row in rows_of(decoded)] == [5]
    assert [seen.waiting_sets for seen in decoded.seen] == [2, 1]


def test_a_new_definition_replaces_the_old_at_once() -> None:
    swapped = template(256, (11, 2), (7, 2))
    data = set_of(256, struct.pack(">HH", 1, 2))
    rows = data_rows([v9(set_of(0, PORTS), data, set_of(0, swapped), data)])
    assert [(r["src_port"], r["dst_port"]) for r in rows] == [(1, 2), (2, 1)]


def test_unused_templates_are_forgotten_used_ones_are_not() -> None:
    hour = 3_600_000
    data = v9(set_of(256, struct.pack(">HH", 1, 2)))
    used = [(at * hour, A, data) for at in range(0, 100, 20)]
    datagrams = [(0, A, v9(set_of(0, PORTS))), *used]
    assert build(DecoderState(), datagrams).finish().rows == 5
    idle = [(0, A, v9(set_of(0, PORTS))), (25 * hour, A, data)]
    decoded = build(DecoderState(), idle).finish()
    assert (decoded.rows, decoded.seen[0].waiting_sets) == (0, 1)


DAY_MS = 86_400_000
PAIR = set_of(256, struct.pack(">HH", 1, 2))
OLD_LIFE = v9(set_of(0, PORTS), uptime=10 * DAY_MS, sequence=5_000)


def test_after_a_restart_data_waits_for_the_new_template() -> None:
    swapped = set_of(0, template(256, (11, 2), (7, 2)))
    datagrams = [
        (0, A, OLD_LIFE),
        (60_000, A, v9(PAIR, uptime=500, after_s=60)),
        (61_000, A, v9(swapped, uptime=1_500, sequence=1, after_s=61)),
    ]
    rows = rows_of(build(DecoderState(), datagrams).finish())
    assert [(r["src_port"], r["datagram"]) for r in rows] == [(2, 3)]


def test_line_cards_with_uptimes_of_their_own_share_a_template() -> None:
    """RFC 3954 gives a source id one uptime; routers whose cards export by themselves do not."""
    young = [
        (at * 1_000, A, v9(PAIR, uptime=7_200_000 + at * 1_000, sequence=at, after_s=at))
        for at in range(1, 10, 2)
    ]
    old = [
        (at * 1_000, A, v9(PAIR, uptime=10 * DAY_MS + at * 1_000, sequence=5_000 + at, after_s=at))
        for at in range(2, 10, 2)
    ]
    decoded = build(DecoderState(), sorted([(0, A, OLD_LIFE), *young, *old])).finish()
    assert decoded.rows == 9
    assert decoded.seen[0].waiting_sets == 0


def test_an_uptime_that_is_anything_is_no_restart_while_the_sequence_goes_on() -> None:
    datagrams = [
        (0, A, OLD_LIFE),
        (60_000, A, v9(PAIR, uptime=0, sequence=5_001, after_s=60)),
        (61_000, A, v9(PAIR, uptime=3, sequence=5_002, after_s=61)),
    ]
    assert build(DecoderState(), datagrams).finish().rows == 2


def test_an_exporter_that_sends_its_templates_once_a_life_outlives_its_restarts() -> None:
    state = DecoderState()
    rows = 0
    for life in range(3):
        start_ms = life * 60_000
        datagrams = [(start_ms, A, v9(set_of(0, PORTS), uptime=0, after_s=life * 60))]
        datagrams += [
            (start_ms + n, A, v9(PAIR, uptime=n, sequence=n, after_s=life * 60))
            for n in range(1, 5)
        ]
        rows += build(state, datagrams).finish().rows
    assert rows == 12


def test_reordering_and_a_wrapped_uptime_are_no_restart() -> None:
    data = set_of(256, struct.pack(">HH", 1, 2))
    reordered = [v9(set_of(0, PORTS), uptime=100_000), v9(data, uptime=50_000)]
    assert len(data_rows(reordered)) == 1
    wrapped = [v9(set_of(0, PORTS), uptime=2**32 - 1000), v9(data, uptime=2000)]
    assert len(data_rows(wrapped)) == 1


def test_several_ipfix_messages_in_one_datagram() -> None:
    data = set_of(256, struct.pack(">HH", 1, 2))
    message = ipfix(set_of(2, PORTS), data, data)
    assert len(data_rows([message * 4])) == 8
    assert len(data_rows([message + bytes(20)])) == 2


def test_a_bad_set_does_not_take_the_good_ones_along() -> None:
    good = set_of(256, struct.pack(">HH", 1, 2))
    cut = struct.pack(">HH", 256, 100) + b"\0\1\0\2"
    for message in (v9, ipfix):
        flows_set = 0 if message is v9 else 2
        bad_template = set_of(flows_set, template(257) if message is v9 else b"\0\5\0\1\0\1\0\4")
        payload = message(set_of(flows_set, PORTS), good, bad_template, good, cut)
        decoded = build(DecoderState(), [(0, A, payload)]).finish()
        # The whole records of the cut set are there too.
        assert decoded.rows == 3
        assert _plain(decoded) == [
            (A, LossReason.TRUNCATED, 1, 0),
            (A, LossReason.BAD_TEMPLATE, 1, 0),
        ]


def test_elements_beyond_the_table_are_counted_per_exporter() -> None:
    fields = template(256, (7, 2), (999, 2), (210, 1), (60, 1))
    payload = v9(set_of(0, fields), set_of(256, bytes(12)))
    decoded = build(DecoderState(), [(0, A, payload), (0, B, payload), (1, A, payload)]).finish()
    assert [s.ignored for s in decoded.seen] == [
        {(0, 999): 4, (0, 60): 4},
        {(0, 999): 2, (0, 60): 2},
    ]


def test_a_loss_of_somebody_else_is_merged() -> None:
    from shared.losses import Loss

    builder = build(DecoderState(), [(0, A, b"\0")])
    builder.add_loss(Loss(A, LossReason.TRUNCATED, 3, 5))
    builder.add_loss(Loss(bytes(16), LossReason.KERNEL_DROP, 2))
    assert _plain(builder.finish()) == [
        (bytes(16), LossReason.KERNEL_DROP, 2, 0),
        (A, LossReason.TRUNCATED, 4, 5),
    ]


def test_rollback_restores_the_age_of_waiting_sets() -> None:
    state = DecoderState(Limits(waiting_ms=1000))
    first, second = v9(set_of(256, b"\0\1\0\2")), v9(set_of(257, b"\0\3\0\4"))
    build(state, [(0, A, first), (900, A, second)])
    state.begin()
    build(state, [(950, A, v9(set_of(0, PORTS)))])
    state.rollback()
    # Only the first is too old; out of order it would hide behind the second.
    assert _plain(build(state, [(1001, B, v5())]).finish()) == [
        (A, LossReason.TEMPLATE_MISSING, 1, 0)
    ]


def test_a_datagram_whose_sets_all_wait_in_vain_counts_once() -> None:
    sets = [set_of(300 + n, bytes(40)) for n in range(4)]
    for limits in (
        Limits(waiting_ms=1_000),
        # They go one after the other, as others come; or at once.
        Limits(waiting_bytes_per_exporter=500),
        Limits(waiting_bytes_per_exporter=0),
    ):
        state = DecoderState(limits)
        datagrams = [(0, A, v9(*sets)), (0, A, v9(*sets[:2])), (5_000, A, v5())]
        builder = build(state, datagrams)
        builder.give_up_waiting()
        assert _plain(builder.finish()) == [(A, LossReason.TEMPLATE_MISSING, 2, 0)]


def test_given_up_sets_of_one_datagram_are_told_apart_across_ranges() -> None:
    sets = [set_of(300 + n, bytes(40)) for n in range(4)]
    state = DecoderState(Limits(waiting_bytes_per_exporter=2 * 240))
    first = build(state, [(0, A, v9(*sets))]).finish()
    kept = DecoderState(state.limits)
    kept.apply(state.snapshot())
    for each in (state, kept):
        second = build(each, [(1, A, v9(*sets[:2]))], first=2).finish()
        assert _plain(first) == [(A, LossReason.TEMPLATE_MISSING, 1, 0)]
        assert _plain(second) == []
        assert second.seen[0].undecoded_sets == 2


def test_large_templates_are_bounded_though_they_are_all_the_same() -> None:
    """The journal and the checkpoints spell out each one."""
    wide = [(7, 2)] * 100
    layouts = set_of(0, b"".join(template(256 + n, *wide) for n in range(20)))
    state = DecoderState(Limits(fields_per_exporter=1_000, fields=1_500))
    for exporter in (A, B):
        build(state, [(0, exporter, v9(layouts))])
    assert len([key for key, _ in state.snapshot() if key.startswith("template")]) == 15
    # The control: without the bounds all are kept.
    free = DecoderState(Limits(fields_per_exporter=1 << 30))
    build(free, [(0, A, v9(layouts))])
    assert len([key for key, _ in free.snapshot() if key.startswith("template")]) == 20


def test_both_directions_of_a_record_belong_to_its_exporter() -> None:
    layout = set_of(0, template(256, (7, 2), (231, 1), (232, 1)))
    quiet, busy = set_of(256, b"\0\1\1\0"), set_of(256, b"\0\1\1\2")
    decoded = build(DecoderState(), [(0, A, v9(layout, quiet)), (0, B, v9(layout, busy))]).finish()
    assert [row["exporter"] for row in rows_of(decoded)] == [A, B, B]
    assert [seen.flows for seen in decoded.seen] == [1, 2]
    assert decoded.sums is not None
    incoming = [row for row in decoded.sums.to_pylist() if row["direction"] == 0]
    assert [(row["exporter"], row["bytes"], row["flows"]) for row in incoming] == [
        (A, 1, 1),
        (B, 3, 2),
    ]
