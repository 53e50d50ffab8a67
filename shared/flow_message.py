"""The message on topic `flows`: one closed range of one stream, as headers and Arrow bytes.

The value is an Arrow IPC stream with one record batch, or empty when the range gave no row. The
headers carry everything a reader needs to place the range without opening the value.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from shared.addresses import format_address, pack_address
from shared.losses import Loss, LossReason

SCHEMA_VERSION = 1
MESSAGE_BYTES = 900_000
"""Largest message, headers included: the broker refuses more than 1,048,588 bytes."""
MESSAGE_ROWS = 40_000
WORKER_CHARACTERS = 255

_NUMBERS = 1 << 63
"""Numbers of a stream, and of what it lost, stay below what a database's integer holds."""
_INSTANTS_MS = (1 << 32) * 1000
"""The store's times end in 2106."""

LOG_HEADER = "log"
"""Id of the topic that a range was sent for; absent where the sender did not say.

A send that is on its way while the topic is made again ends up in the new one, before everything
that its sender then publishes again. Readers pass it over: they would name a gap and take what
follows for repeats.
"""

Headers = Sequence[tuple[str, bytes]]


class MessageError(ValueError):
    """A message on `flows` whose headers do not name a range."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowRange:
    """What a message on `flows` says of itself.

    stream: random 64-bit id; first, last: numbers of its datagrams, marks included, both inclusive.
    worker: `name/worker`, the key.
    rows: rows in the value; 0 means an empty value.
    earliest_ms, latest_ms: `received_at` of the range's records, within one minute, UTC.
    started_at_ms: when the stream began.
    partitions: partition count that the stream's first mark fixed.
    ended: the range ends with the stream's end mark.
    losses: what did not become a row.
    """

    stream: int
    worker: str
    first: int
    last: int
    rows: int
    earliest_ms: int
    latest_ms: int
    started_at_ms: int
    partitions: int
    ended: bool = False
    losses: tuple[Loss, ...] = ()


def encode_headers(flow_range: FlowRange) -> list[tuple[str, bytes]]:
    """Return the Kafka headers of `flow_range`."""
    headers = [
        ("v", str(SCHEMA_VERSION).encode()),
        ("stream", f"{flow_range.stream:016x}".encode()),
        ("worker", flow_range.worker.encode()),
        ("first", str(flow_range.first).encode()),
        ("last", str(flow_range.last).encode()),
        ("rows", str(flow_range.rows).encode()),
        ("earliest", str(flow_range.earliest_ms).encode()),
        ("latest", str(flow_range.latest_ms).encode()),
        ("started", str(flow_range.started_at_ms).encode()),
        ("partitions", str(flow_range.partitions).encode()),
    ]
    if flow_range.ended:
        headers.append(("ended", b"1"))
    if flow_range.losses:
        losses = [
            [format_address(loss.exporter), int(loss.reason), loss.datagrams, loss.flows]
            for loss in flow_range.losses
        ]
        headers.append(("losses", json.dumps(losses, separators=(",", ":")).encode()))
    return headers


def decode_headers(headers: Headers) -> FlowRange:
    """Read the headers of a message on `flows`. Raises MessageError on anything else."""
    try:
        values = {name: value.decode() for name, value in headers}
        if int(values["v"]) != SCHEMA_VERSION:
            raise MessageError(f"schema version {values['v']} is not {SCHEMA_VERSION}")
        losses = tuple(
            Loss(pack_address(exporter), LossReason(reason), int(datagrams), int(flows))
            for exporter, reason, datagrams, flows in json.loads(values.get("losses", "[]"))
        )
        flow_range = FlowRange(
            stream=int(values["stream"], 16),
            worker=values["worker"],
            first=int(values["first"]),
            last=int(values["last"]),
            rows=int(values["rows"]),
            earliest_ms=int(values["earliest"]),
            latest_ms=int(values["latest"]),
            started_at_ms=int(values["started"]),
            partitions=int(values["partitions"]),
            ended=values.get("ended") == "1",
            losses=losses,
        )
    except MessageError:
        raise
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise MessageError(f"headers do not name a range: {error!r}"[:200]) from error
    if problem := _out_of_bounds(flow_range):
        raise MessageError(problem)
    return flow_range


def _out_of_bounds(named: FlowRange) -> str:
    """Return what no reader could keep, or nothing: it would meet the same message for ever."""
    if not (0 <= named.stream < 1 << 64 and 1 <= named.first <= named.last < _NUMBERS):
        return f"range {named.first}..{named.last} is none"
    if not 0 <= named.rows < _NUMBERS or not 0 < named.partitions < 1 << 31:
        return f"{named.rows} rows, {named.partitions} partitions"
    instants = (named.started_at_ms, named.earliest_ms, named.latest_ms)
    if not all(0 <= instant < _INSTANTS_MS for instant in instants):
        return f"times {instants} are not between 1970 and 2106"
    if len(named.worker) > WORKER_CHARACTERS or not named.worker.isprintable():
        return f"worker {named.worker[:40]!r}"
    counts = [count for loss in named.losses for count in (loss.datagrams, loss.flows)]
    if not all(0 <= count < _NUMBERS for count in counts):
        return "losses without number"
    return ""
