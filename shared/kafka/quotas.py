"""The request AlterClientQuotas: most bytes/s that a broker gives one client.

https://kafka.apache.org/protocol#The_Messages_AlterClientQuotas: any broker hands it on.
"""

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Float64,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

CONSUMER_RATE = "consumer_byte_rate"
EVERY_CLIENT = ("client-id", None)
"""Each client id that has no quota of its own, one by one."""
_TAGS = ("tags", TaggedFields)
_NO_TAGS: dict[int, bytes] = {}
_ENTITY = (
    "entity",
    CompactArray(("kind", CompactString()), ("name", CompactString()), _TAGS),
)


class _Answer(Response):
    API_KEY, API_VERSION = 49, 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "entries",
            CompactArray(("error_code", Int16), ("error_message", CompactString()), _ENTITY, _TAGS),
        ),
        _TAGS,
    )


class _Asked(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION, RESPONSE_TYPE = 49, 1, _Answer
    SCHEMA = Schema(
        (
            "entries",
            CompactArray(
                _ENTITY,
                (
                    "changes",
                    CompactArray(
                        ("name", CompactString()), ("value", Float64), ("removes", Boolean), _TAGS
                    ),
                ),
                _TAGS,
            ),
        ),
        ("validate_only", Boolean),
        _TAGS,
    )


class ReadQuotaRequest(Request[_Asked]):
    """Let no client read more than that from a broker."""

    API_KEY = 49

    def __init__(self, bytes_per_s: int) -> None:
        """bytes_per_s: of each client id, at each broker."""
        self._bytes_per_s = bytes_per_s

    def build(self, request_struct_class: type[_Asked]) -> _Asked:
        """Return the request as aiokafka sends it."""
        changes = [(CONSUMER_RATE, float(self._bytes_per_s), False, _NO_TAGS)]
        entity = [(*EVERY_CLIENT, _NO_TAGS)]
        return request_struct_class([(entity, changes, _NO_TAGS)], False, _NO_TAGS)
