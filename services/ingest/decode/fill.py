"""Gathered records -> columns: one template definition at a time, all its records at once."""

from typing import Any

import numpy as np
import numpy.typing as npt

from services.ingest.decode.columns import ADDRESSES, V4_WORD, Columns
from services.ingest.decode.elements import Reading
from services.ingest.decode.plans import Source
from services.ingest.decode.records import Records
from services.ingest.decode.times import moments
from shared.sampling import SamplingSource

Indices = npt.NDArray[np.intp]

_TIMES = frozenset({"started_at", "ended_at", "system_init"})
# Zero means "none" in these; 0.0.0.0 as a source is an address (DHCP).
_ZERO_IS_ABSENT = ADDRESSES - {"src_addr", "dst_addr"}
# The second row of a record with two directions: the other end is the source.
_SWAPPED = {
    "src_addr": "dst_addr",
    "src_port": "dst_port",
    "src_as": "dst_as",
    "src_prefix": "dst_prefix",
    "src_vlan": "dst_vlan",
    "src_mac": "dst_mac",
    "in_if": "out_if",
    "nat_src_addr": "nat_dst_addr",
    "nat_src_port": "nat_dst_port",
}
# What holds for both directions unless the record says something else for the second.
_SHARED = ("protocol", "flow_end_reason", "application", "firewall_event", "vrf", "sampling_rate",
           "sampling_source", "started_at", "ended_at")  # fmt: skip
_ICMP, _ICMP6 = 1, 58


def fill_forward(
    columns: Columns,
    rows: slice,
    records: Records,
    export_ms: npt.NDArray[np.int64],
    uptime_ms: npt.NDArray[np.int64],
    header_rate: npt.NDArray[np.int64],
) -> None:
    """Write all records, as exported, into `rows` of the columns. The arrays are per record."""
    forward = records.plan.forward
    for name, sources in forward.items():
        if name in _TIMES:
            continue
        if name in ADDRESSES:
            _fill_address(columns[name][rows], name, records, sources)
        elif name == "icmp_type":
            _fill_icmp(columns, rows, records, sources)
        else:
            _fill_number(columns[name][rows], records, sources)
    _fill_times(columns, rows, records, forward, export_ms, uptime_ms)
    if "icmp_type" not in forward and "dst_port" in forward and "protocol" in forward:
        _icmp_from_port(columns, rows)
    _fill_sampling(columns, rows, header_rate)


def reverse_rows(records: Records) -> Indices:
    """Return the records that carry anything in the second direction."""
    there: npt.NDArray[np.bool_] | None = None
    for name in ("bytes", "packets"):
        for source in records.plan.reverse.get(name, ()):
            counted = records.number(source) != 0
            there = counted if there is None else there | counted
    return np.empty(0, np.intp) if there is None else np.flatnonzero(there)


def fill_reverse(
    columns: Columns,
    rows: slice,
    forward: Indices,
    selected: Indices,
    records: Records,
    export_ms: npt.NDArray[np.int64],
    uptime_ms: npt.NDArray[np.int64],
) -> None:
    """Write the second direction of the `selected` records into `rows`.

    forward: where their first direction stands. Source and destination change places (RFC 5103
    section 5; NSEL's initiator and responder); what one direction alone knows stays absent.
    """
    for source, destination in _SWAPPED.items():
        for name, other in ((source, destination), (destination, source)):
            if other in columns:
                columns[name][rows] = columns[other][forward]
    for name in _SHARED:
        if name in columns:
            columns[name][rows] = columns[name][forward]
    whole = Columns(records.rows)
    every = slice(0, records.rows)
    for name, sources in records.plan.reverse.items():
        if name in _TIMES or name in ADDRESSES:
            continue
        if name == "icmp_type":
            _fill_icmp(whole, every, records, sources)
            columns["icmp_code"][rows] = whole["icmp_code"][selected]
        else:
            _fill_number(whole[name][every], records, sources)
        columns[name][rows] = whole[name][selected]
    _fill_times(whole, every, records, records.plan.reverse, export_ms, uptime_ms)
    for name in ("started_at", "ended_at"):
        if name in whole:
            columns[name][rows] = whole[name][selected]


def _fill_number(out: npt.NDArray[Any], records: Records, sources: tuple[Source, ...]) -> None:
    for index, source in enumerate(sources):
        value = records.number(source)
        if source.element.reading is Reading.MPLS_LABEL:
            # A label stack entry, usually without its TTL (RFC 3032 section 2.1).
            value = value >> value.dtype.type(4 if source.length == 3 else 12)
        largest = np.iinfo(out.dtype).max
        if value.dtype.itemsize > out.dtype.itemsize:
            # A value that the column cannot hold is no value; cut to its low bits it would lie.
            value = np.where(value > largest, 0, value)
        if index == 0:
            out[:] = value
        else:
            np.copyto(out, value, where=out == 0, casting="unsafe")


def _fill_address(
    out: npt.NDArray[np.uint32], name: str, records: Records, sources: tuple[Source, ...]
) -> None:
    for index, source in enumerate(sources):
        field = records.field(source)
        is_v4 = source.element.reading is Reading.IPV4
        if index == 0 and is_v4:
            out[:, 3] = field
            out[:, 2] = V4_WORD if name not in _ZERO_IS_ABSENT else np.where(field, V4_WORD, 0)
        elif index == 0:
            out[:] = np.ascontiguousarray(field).view("=u4")
        else:
            # The template has both families: whichever is not zero is meant.
            empty = ~out[:, 3].astype(bool) & ~out[:, :2].any(axis=1) & _v4_or_zero(out[:, 2])
            if is_v4:
                there = empty & (field != 0)
                out[there, 3] = field[there]
                out[there, 2] = V4_WORD
            else:
                there = empty & field.any(axis=1)
                out[there] = np.ascontiguousarray(field[there]).view("=u4")


def _v4_or_zero(word: npt.NDArray[np.uint32]) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = (word == 0) | (word == V4_WORD)
    return found


def _fill_icmp(
    columns: Columns, rows: slice, records: Records, sources: tuple[Source, ...]
) -> None:
    """Write type and code from fields that hold both, or the type alone."""
    kind, code = columns["icmp_type"][rows], columns["icmp_code"][rows]
    for source in sources:
        value = records.number(source)
        if source.element.reading is Reading.ICMP_TYPE_CODE:
            empty = (kind == 0) & (code == 0)
            np.copyto(kind, value >> np.uint8(8), where=empty, casting="unsafe")
            np.copyto(code, value & np.uint8(255), where=empty, casting="unsafe")
        else:
            np.copyto(kind, value, where=kind == 0, casting="unsafe")


def _icmp_from_port(columns: Columns, rows: slice) -> None:
    """Take type and code from the port, where NetFlow v5 and many v9 exporters put them."""
    protocol = columns["protocol"][rows]
    is_icmp = (protocol == _ICMP) | (protocol == _ICMP6)
    if is_icmp.any():
        port = columns["dst_port"][rows]
        np.copyto(columns["icmp_type"][rows], port >> 8, where=is_icmp, casting="unsafe")
        np.copyto(columns["icmp_code"][rows], port & 255, where=is_icmp, casting="unsafe")


def _fill_times(
    columns: Columns,
    rows: slice,
    records: Records,
    sources: Any,  # Mapping of column -> sources, forward or reverse
    export_ms: npt.NDArray[np.int64],
    uptime_ms: npt.NDArray[np.int64],
) -> None:
    init = records.plan.forward.get("system_init", ())
    found = moments(
        records,
        sources.get("started_at", ()),
        sources.get("ended_at", ()),
        init,
        export_ms,
        uptime_ms,
    )
    for name, moment in zip(("started_at", "ended_at"), found, strict=True):
        if moment is not None:
            columns[name][rows] = moment


def _fill_sampling(columns: Columns, rows: slice, header_rate: npt.NDArray[np.int64]) -> None:
    """Note who gave the rate; the header's holds where the record has none."""
    if "sampling_rate" in columns:
        said = columns["sampling_rate"][rows] != 0
        if said.any():
            columns["sampling_source"][rows][said] = SamplingSource.RECORD
    if header_rate.any():
        rate, source = columns["sampling_rate"][rows], columns["sampling_source"][rows]
        from_header = (rate == 0) & (header_rate != 0)
        np.copyto(rate, header_rate, where=from_header, casting="unsafe")
        source[from_header] = SamplingSource.HEADER
