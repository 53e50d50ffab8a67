"""Templates of NetFlow v9 and IPFIX: what a set of them says, and how a record lies in bytes."""

import struct
from collections.abc import Iterator
from functools import cached_property

from services.ingest.decode.elements import SYSTEM_INIT
from services.ingest.decode.malformed import DecodeError
from services.ingest.decode.plans import VARIABLE, Plan, make_plan
from shared.losses import LossReason

Field = tuple[int, int, int]
"""(enterprise, information element, length in bytes)."""


class Definition:
    """The fields of a template; equal ones of different exporters are equal here.

    options: an options template, scope fields first.
    record_bytes: length of a record, or the least when `variable` (1 for each variable field).
    """

    def __init__(self, fields: tuple[Field, ...], *, options: bool = False) -> None:
        """Take the fields in wire order."""
        self.fields = fields
        self.options = options
        self.variable = any(length == VARIABLE for _, _, length in fields)
        self.record_bytes = sum(1 if length == VARIABLE else length for _, _, length in fields)
        self._hash = hash((fields, options))

    @cached_property
    def plan(self) -> Plan:
        """How its records become columns; made when the first data comes."""
        return make_plan(self.fields)

    @cached_property
    def system_init_at(self) -> int:
        """Where IPFIX options data hold the exporter's start (element 160); -1 if they do not."""
        at = 0
        for enterprise, element, length in self.fields:
            if (enterprise, element, length) == (0, SYSTEM_INIT, 8):
                return at if self.options else -1
            if length == VARIABLE:
                return -1
            at += length
        return -1

    def __hash__(self) -> int:
        """Return the hash of the fields, computed once."""
        return self._hash

    def __eq__(self, other: object) -> bool:
        """Return whether both lay out the same records."""
        return self is other or (
            isinstance(other, Definition)
            and self.fields == other.fields
            and self.options == other.options
        )


def read_templates(
    payload: bytes, start: int, end: int, *, version: int, options: bool, fields_max: int
) -> Iterator[tuple[int, Definition]]:
    """Yield (template id, definition) of one set's body; raises DecodeError at the first bad one.

    What was yielded before stays good (RFC 3954 sections 5.2, 6.1; RFC 7011 section 3.4).
    """
    at = start
    while end - at >= 4:
        template_id, count = struct.unpack_from(">HH", payload, at)
        if template_id == 0 and not any(payload[at:end]):
            return  # Padding.
        if template_id < 256:
            raise _bad(f"template id {template_id} is below 256")
        if version == 10 and count == 0:
            at += 4  # A withdrawal; over UDP it is to be ignored (RFC 7011 section 8.4).
            continue
        at += 4
        if options:
            if end - at < 2:
                raise _bad(f"options template {template_id} ends in its header")
            second = struct.unpack_from(">H", payload, at)[0]
            at += 2
            # v9 gives the bytes of scope and of option fields, IPFIX all fields, then scopes.
            if version == 9:
                if count % 4 or second % 4:
                    raise _bad(f"options template {template_id} has lengths {count}, {second}")
                count = (count + second) // 4
        if count > fields_max:
            raise _bad(f"template {template_id} has {count} fields")
        fields, at = _read_fields(payload, at, end, count, enterprises=version == 10)
        definition = Definition(fields, options=options)
        if definition.record_bytes == 0:
            raise _bad(f"records of template {template_id} have no length")
        yield template_id, definition


def _read_fields(
    payload: bytes, at: int, end: int, count: int, *, enterprises: bool
) -> tuple[tuple[Field, ...], int]:
    fields = []
    for _ in range(count):
        if end - at < 4:
            raise _bad("the set ends inside a template")
        element, length = struct.unpack_from(">HH", payload, at)
        at += 4
        enterprise = 0
        # v9 has no enterprise bit: Cisco's ASA sends plain elements above 32767.
        if enterprises and element & 0x8000:
            if end - at < 4:
                raise _bad("the set ends inside an enterprise number")
            enterprise = struct.unpack_from(">I", payload, at)[0]
            element &= 0x7FFF
            at += 4
        fields.append((enterprise, element, length))
    return tuple(fields), at


def _bad(detail: str) -> DecodeError:
    return DecodeError(LossReason.BAD_TEMPLATE, detail)
