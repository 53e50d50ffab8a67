"""A message of `rates` -> its columns, checked; pure."""

import numpy as np
import pyarrow as pa

from services.central.live.entries import SUMS
from services.central.live.windows import RatesRange
from shared.flow_message import Headers, MessageError, decode_headers
from shared.flow_record import ADDRESS

ENTRIES_MAX = 100_000
"""A range has at most 40,000 rows, each of two interfaces."""
SPAN_MS = 60_000

_TYPES = {
    "exporter": ADDRESS,
    "interface": pa.uint32(),
    "direction": pa.uint8(),
    **dict.fromkeys(SUMS, pa.uint64()),
}


class RatesError(ValueError):
    """A message on `rates` that holds no sums of a range."""


def read_rates(headers: Headers, value: bytes, *, appended_ms: int) -> RatesRange:
    """Return the range that a message sums up; columns not known here are passed over.

    appended_ms: the broker's append time, UTC. Raises RatesError.
    """
    try:
        named = decode_headers(headers)
        batch = _read_batch(value)
    except (MessageError, pa.ArrowException, OSError, EOFError, ValueError) as error:
        raise RatesError(str(error)[:200]) from error
    if not 0 <= named.latest_ms - named.earliest_ms < SPAN_MS:
        raise RatesError(f"times {named.earliest_ms}..{named.latest_ms} are not within a minute")
    if batch.num_rows != named.rows:
        raise RatesError(f"{batch.num_rows} rows where the headers say {named.rows}")
    exporters = batch["exporter"].dictionary_encode()
    direction = batch["direction"].to_numpy()
    if len(direction) and direction.max() > 1:
        raise RatesError(f"direction {direction.max()} is neither in nor out")
    return RatesRange(
        stream=named.stream,
        first=named.first,
        last=named.last,
        earliest_ms=named.earliest_ms,
        latest_ms=named.latest_ms,
        appended_ms=appended_ms,
        exporters=exporters.dictionary.to_pylist(),
        exporter=exporters.indices.to_numpy().astype(np.intp),
        interface=batch["interface"].to_numpy(),
        direction=direction,
        sums=np.stack([batch[name].to_numpy() for name in SUMS]),
    )


def _read_batch(value: bytes) -> pa.RecordBatch:
    reader = pa.ipc.open_stream(value)
    found = dict(zip(reader.schema.names, reader.schema.types, strict=True))
    if len(found) < len(reader.schema.names):
        raise RatesError("a column stands there twice")
    for name, kind in _TYPES.items():
        if found.get(name) != kind:
            raise RatesError(f"column {name} is {found.get(name)}, not {kind}")
    fields = [reader.schema.get_field_index(name) for name in _TYPES]
    options = pa.ipc.IpcReadOptions(included_fields=fields, use_threads=False)
    batches = list(pa.ipc.open_stream(value, options=options))
    if len(batches) != 1 or batches[0].num_rows > ENTRIES_MAX:
        raise RatesError(f"batches of {[batch.num_rows for batch in batches]} rows")
    (batch,) = batches
    batch.validate(full=True)
    if any(batch[name].null_count for name in _TYPES):
        raise RatesError("nulls")
    return batch
