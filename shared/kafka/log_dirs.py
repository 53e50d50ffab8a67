"""The request DescribeLogDirs: what a broker holds on its disks, in bytes, as Kafka 4 speaks it.

https://kafka.apache.org/protocol#The_Messages_DescribeLogDirs: it tells of its own disks alone.
"""

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

_TAGS = ("tags", TaggedFields)
_NO_TAGS: dict[int, bytes] = {}


class _Answer(Response):
    API_KEY, API_VERSION = 35, 4
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        (
            "directories",
            CompactArray(
                ("error_code", Int16),
                ("directory", CompactString()),
                (
                    "topics",
                    CompactArray(
                        ("name", CompactString()),
                        (
                            "partitions",
                            CompactArray(
                                ("partition", Int32),
                                ("size_bytes", Int64),
                                ("behind", Int64),
                                ("is_future", Boolean),
                                _TAGS,
                            ),
                        ),
                        _TAGS,
                    ),
                ),
                ("total_bytes", Int64),
                ("usable_bytes", Int64),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _Asked(RequestStruct):
    FLEXIBLE_VERSION = True
    API_KEY, API_VERSION, RESPONSE_TYPE = 35, 4, _Answer
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("name", CompactString()), ("partitions", CompactArray(Int32)), _TAGS),
        ),
        _TAGS,
    )


class LogDirsRequest(Request[_Asked]):
    """Ask for all topics; -1 bytes where the disk did not say."""

    API_KEY = 35

    def build(self, request_struct_class: type[_Asked]) -> _Asked:
        """Return the request as aiokafka sends it."""
        return request_struct_class(None, _NO_TAGS)
