"""Datagrams of a range in, columns out: the decoder's face to the rest of the collector.

The sets of a datagram are walked one by one; the records inside are only gathered, template by
template, and become columns all at once when the range is finished. Nothing here reads a clock, and
no bytes make it raise.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from services.ingest.decode import ipfix, netflow5, netflow9
from services.ingest.decode.assemble import Assembled, assemble
from services.ingest.decode.decoder_state import Change, DecoderState
from services.ingest.decode.gathering import Gathered
from services.ingest.decode.limits import Limits
from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.message import Message, SetBounds, read_one_set, walk_sets
from services.ingest.decode.seen import Seen
from services.ingest.decode.templates import Definition, read_templates
from services.ingest.decode.waiting import TemplateKey, WaitingSet
from shared.losses import Loss, LossReason

__all__ = ["Change", "Decoded", "DecoderState", "Limits", "RangeBuilder", "Seen"]

# Set id -> whether it holds options templates (RFC 3954 section 5.2, RFC 7011 section 3.3.2).
_TEMPLATE_SETS = {(9, 0): False, (9, 1): True, (10, 2): False, (10, 3): True}


@dataclass(frozen=True, slots=True)
class Decoded:
    """A finished range.

    batch: columns of `shared.flow_record` that some record has, None without rows.
    losses: what did not become a row, merged by exporter and reason, sorted.
    sums: `rates.RATES_SCHEMA`, None without rows. seen: in order of first appearance.
    """

    rows: int
    batch: pa.RecordBatch | None
    losses: tuple[Loss, ...]
    sums: pa.RecordBatch | None
    seen: tuple[Seen, ...]


class RangeBuilder:
    """Collects the datagrams of one range of a stream; the state advances with each of them."""

    def __init__(self, state: DecoderState, *, collector: str, stream: int) -> None:
        """Take the worker's state; collector is `name/worker`, stream its random 64-bit id."""
        self._state = state
        self._collector = collector
        self._stream = stream
        self._gathered = Gathered()
        self._seen: dict[bytes, tuple[int, Seen]] = {}
        self._losses: dict[tuple[bytes, LossReason], tuple[int, int]] = {}
        self._lost_here: set[tuple[bytes, LossReason]] = set()
        self._number = 0

    @property
    def rows(self) -> int:
        """Rows gathered so far; a record that may hold two directions counts as two."""
        return self._gathered.rows

    def add(
        self,
        number: int,
        received_at_ms: int,
        exporter: bytes,
        port: int,
        payload: bytes | memoryview,
    ) -> None:
        """Take one datagram: decode it, keep what waits for a template, count what is neither.

        number: its place in the stream; exporter: 16 address bytes. The port is not used: exporters
        send templates and data from different ones.
        """
        self._lost_here.clear()
        self._number = number
        if self._state.has_waiting:
            self._lose_waiting(self._state.expire(received_at_ms))
        known = self._seen.get(exporter)
        if known is None:
            exporter = bytes(exporter)
            known = self._seen[exporter] = (len(self._seen), Seen(exporter))
        index, seen = known
        seen.datagrams += 1
        whole = bytes(payload)
        if self._one_data_set(number, received_at_ms, index, seen, whole):
            return
        try:
            self._datagram(_Datagram(number, received_at_ms, index, seen, whole))
        except DecodeError as error:
            self._lose(exporter, error.reason, error.flows)

    def add_loss(self, loss: Loss) -> None:
        """Add a loss that somebody else found."""
        key = (loss.exporter, loss.reason)
        datagrams, flows = self._losses.get(key, (0, 0))
        self._losses[key] = (datagrams + loss.datagrams, flows + loss.flows)

    def expire(self, received_at_ms: int) -> None:
        """Give up data sets that waited too long at a moment without a datagram (a clock mark)."""
        self._lost_here.clear()
        self._lose_waiting(self._state.expire(received_at_ms))

    def give_up_waiting(self) -> None:
        """Give up all data sets that wait: nothing more will come (the end of a capture)."""
        self._lost_here.clear()
        self._lose_waiting(self._state.expire(None))

    def finish(self, *, wire_order: bool = False) -> Decoded:
        """Return the range's columns; wire_order sorts rows as their records came."""
        made = assemble(
            self._gathered,
            list(self._seen),
            collector=self._collector,
            stream=self._stream,
            wire_order=wire_order,
        )
        if made is not None:
            self._count_rows(made)
        losses = tuple(
            Loss(exporter, reason, datagrams, flows)
            for (exporter, reason), (datagrams, flows) in sorted(self._losses.items())
        )
        return Decoded(
            rows=made.batch.num_rows if made is not None else 0,
            batch=made.batch if made is not None else None,
            losses=losses,
            sums=made.sums if made is not None else None,
            seen=tuple(seen for _, seen in self._seen.values()),
        )

    # One datagram.

    def _one_data_set(
        self, number: int, received_at_ms: int, exporter_index: int, seen: Seen, payload: bytes
    ) -> bool:
        """Gather a datagram that is one whole data set of a fresh template; False for any other.

        Nearly every datagram of v9 and IPFIX is one. `_datagram` would do the same for it, at four
        times the cost: it is what a datagram costs when few flows share it.
        """
        header = read_one_set(payload)
        if header is None:
            return False
        version, domain, export_ms, uptime_ms, set_id, start = header
        key = (seen.exporter, version, domain, set_id)
        definition = self._state.fresh_definition(key, received_at_ms, uptime_ms)
        if definition is None or definition.options:
            return False
        self._originate(
            number, received_at_ms, exporter_index, seen, domain, version, export_ms, uptime_ms
        )
        self._records(seen, definition, payload, start, len(payload))
        return True

    def _datagram(self, datagram: "_Datagram") -> None:
        """Decode the messages of a datagram, which may be several of one version."""
        payload = datagram.payload
        at = 0
        version = _version(payload, 0)
        while True:
            if version == 5:
                at = self._netflow5(datagram, at)
            else:
                read = netflow9.read_message if version == 9 else ipfix.read_message
                message = read(payload, at)
                self._message(datagram, message)
                at = message.next
            if len(payload) - at < 2 or not any(payload[at:]):
                return
            if _version(payload, at) != version:
                # v5 tolerates trailing bytes; the length of an IPFIX message has to fit.
                if version == 5:
                    return
                raise DecodeError(LossReason.TRUNCATED, f"{len(payload) - at} bytes are left over")

    def _netflow5(self, datagram: "_Datagram", at: int) -> int:
        header = netflow5.read_header(datagram.payload, at)
        start = at + netflow5.HEADER_BYTES
        room = (len(datagram.payload) - start) // netflow5.RECORD_BYTES
        count = min(header.records, room)
        self._gathered.origins.add(
            datagram.number,
            datagram.received_at_ms,
            datagram.exporter_index,
            header.domain,
            5,
            header.export_ms,
            header.uptime_ms,
            header.sampling_rate,
        )
        end = start + count * netflow5.RECORD_BYTES
        self._gathered.add(netflow5.DEFINITION, datagram.payload, start, end)
        if count < header.records:
            lost = header.records - count
            raise DecodeError(LossReason.TRUNCATED, f"{lost} v5 records are cut off", flows=lost)
        return end

    def _message(self, datagram: "_Datagram", message: Message) -> None:
        """Walk the sets of one v9 or IPFIX message; a bad set costs only itself."""
        self._originate_from(datagram, message.domain, message.version, message)
        exporter = datagram.seen.exporter
        for bounds in walk_sets(datagram.payload, message):
            if bounds.set_id >= 256:
                self._data_set(datagram, message, bounds)
                continue
            options = _TEMPLATE_SETS.get((message.version, bounds.set_id))
            if not bounds.whole:
                raise DecodeError(LossReason.TRUNCATED, f"set {bounds.set_id} is cut off")
            if options is None:
                datagram.seen.undecoded_sets += 1
                continue
            try:
                self._template_set(datagram, message, bounds, options=options)
            except DecodeError as error:
                self._lose(exporter, error.reason, error.flows)
        if message.cut:
            raise DecodeError(LossReason.TRUNCATED, "the IPFIX message is cut off")

    def _originate(
        self,
        number: int,
        received_at_ms: int,
        exporter_index: int,
        seen: Seen,
        domain: int,
        version: int,
        export_ms: int,
        uptime_ms: int,
    ) -> None:
        """Make the records that follow those of a header, as `Origins.add` takes it."""
        if version == 10:
            init_ms = self._state.system_init_ms(seen.exporter, domain)
            if 0 < init_ms <= export_ms:
                uptime_ms = export_ms - init_ms
        self._gathered.origins.add(
            number, received_at_ms, exporter_index, domain, version, export_ms, uptime_ms, 0
        )

    def _originate_from(
        self, datagram: "_Datagram", domain: int, version: int, header: Message | WaitingSet
    ) -> None:
        self._originate(
            datagram.number,
            datagram.received_at_ms,
            datagram.exporter_index,
            datagram.seen,
            domain,
            version,
            header.export_ms,
            header.uptime_ms,
        )

    def _data_set(self, datagram: "_Datagram", message: Message, bounds: SetBounds) -> None:
        set_id, start, end, whole = bounds
        key = (datagram.seen.exporter, message.version, message.domain, set_id)
        definition = self._state.definition(key, datagram.received_at_ms, message)
        if definition is not None:
            self._records(datagram.seen, definition, datagram.payload, start, end)
            if definition.options:
                self._options(datagram, message, set_id, definition, bounds)
            if not whole:
                raise DecodeError(LossReason.TRUNCATED, f"data set {set_id} is cut off")
            return
        if not whole:
            raise DecodeError(LossReason.TRUNCATED, f"data set {set_id} is cut off")
        if start == end:
            return
        datagram.seen.waiting_sets += 1
        waiting = WaitingSet(
            TemplateKey(*key),
            datagram.received_at_ms,
            message.export_ms,
            message.uptime_ms,
            datagram.payload[start:end],
            datagram.number,
        )
        self._lose_waiting(self._state.wait(waiting))

    def _options(
        self,
        datagram: "_Datagram",
        message: Message,
        template_id: int,
        definition: Definition,
        bounds: SetBounds,
    ) -> None:
        """Take from options data when an IPFIX exporter started; the times of flows need it."""
        at = bounds.start + definition.system_init_at
        if message.version != 10 or definition.system_init_at < 0 or at + 8 > bounds.end:
            return
        key = TemplateKey(datagram.seen.exporter, 10, message.domain, template_id)
        started_ms = int.from_bytes(datagram.payload[at : at + 8], "big")
        if started_ms <= message.export_ms and self._state.note_system_init(key, started_ms):
            self._originate_from(datagram, message.domain, message.version, message)

    def _template_set(
        self, datagram: "_Datagram", message: Message, bounds: SetBounds, *, options: bool
    ) -> None:
        found = read_templates(
            datagram.payload,
            bounds.start,
            bounds.end,
            version=message.version,
            options=options,
            fields_max=self._state.limits.fields_per_template,
        )
        for template_id, definition in found:
            datagram.seen.templates += 1
            key = TemplateKey(datagram.seen.exporter, message.version, message.domain, template_id)
            known = self._state.learn(key, definition, datagram.received_at_ms, message)
            if self._state.has_waiting:
                self._release(datagram, message, key, known)

    def _release(
        self, datagram: "_Datagram", message: Message, key: TemplateKey, definition: Definition
    ) -> None:
        """Decode what waited for a template, as rows of the datagram that brought it."""
        released = self._state.release(key)
        for waiting in released:
            self._originate_from(datagram, key.domain, key.version, waiting)
            self._records(datagram.seen, definition, waiting.body, 0, len(waiting.body))
        if released:
            self._originate_from(datagram, message.domain, message.version, message)

    def _records(
        self, seen: Seen, definition: Definition, payload: bytes, start: int, end: int
    ) -> None:
        """Gather the records of a data set's body."""
        if definition.options:
            seen.options_records += (end - start) // definition.record_bytes
            return
        if not definition.plan.is_flow:
            seen.undecoded_sets += 1
            return
        left = self._gathered.add(definition, payload, start, end)
        # Up to 3 bytes are padding, and so are zeros; a rest longer than a record never is.
        if (
            left > 3
            and (left == end - start or definition.variable)
            and any(payload[end - left : end])
        ):
            self._lose(seen.exporter, LossReason.BAD_FIELD, 1)

    # Losses.

    def _lose(self, exporter: bytes, reason: LossReason, flows: int) -> None:
        """Count a loss of the datagram at hand: a datagram counts once per exporter and reason."""
        first = (exporter, reason) not in self._lost_here
        self._lost_here.add((exporter, reason))
        self.add_loss(Loss(exporter, reason, int(first), flows))
        known = self._seen.get(exporter)
        if first and known is not None:
            malformed = known[1].malformed
            malformed[reason] = malformed.get(reason, 0) + 1

    def _lose_waiting(self, given_up: Iterable[WaitingSet]) -> None:
        """Count the datagrams of sets that waited in vain, at the datagram at hand."""
        for waiting in given_up:
            exporter = waiting.key.exporter
            counted = waiting.counted
            if waiting.datagram == self._number:
                # A set that found no room at all, of the datagram that is still walked.
                here = (exporter, LossReason.TEMPLATE_MISSING)
                counted = counted or here in self._lost_here
                self._lost_here.add(here)
            if not counted:
                self.add_loss(Loss(exporter, LossReason.TEMPLATE_MISSING, 1))
            known = self._seen.get(exporter)
            if known is None:
                known = self._seen[exporter] = (len(self._seen), Seen(exporter))
            known[1].undecoded_sets += 1

    def _count_rows(self, made: Assembled) -> None:
        flows = np.bincount(made.exporters, minlength=len(self._seen)).tolist()
        for index, seen in self._seen.values():
            seen.flows += flows[index]
            for element, records in made.ignored.get(index, {}).items():
                seen.ignored[element] = seen.ignored.get(element, 0) + records


class _Datagram:
    """The datagram at hand."""

    __slots__ = ("exporter_index", "number", "payload", "received_at_ms", "seen")

    def __init__(
        self, number: int, received_at_ms: int, exporter_index: int, seen: Seen, payload: bytes
    ) -> None:
        self.number = number
        self.received_at_ms = received_at_ms
        self.exporter_index = exporter_index
        self.seen = seen
        self.payload = payload


def _version(payload: bytes, at: int) -> int:
    """Return the version of a message that can be decoded; raises DecodeError for any other."""
    if len(payload) - at < 2:
        raise DecodeError(LossReason.TRUNCATED, "the datagram has no version")
    version = payload[at] << 8 | payload[at + 1]
    if version not in (5, 9, 10):
        if at:
            return version
        raise DecodeError(LossReason.UNKNOWN_VERSION, f"version {version}")
    return version
