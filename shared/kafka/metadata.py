"""The Metadata request in version 12, the first answer of Kafka that aiokafka lacks: topic ids.

https://kafka.apache.org/protocol#The_Messages_Metadata
"""

from collections import namedtuple
from io import BytesIO

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

_NO_TOPIC_ID = bytes(16)
_NO_TAGS: dict[int, bytes] = {}


class Uuid:
    """Sixteen bytes on the wire."""

    @staticmethod
    def encode(value: bytes) -> bytes:
        """Return them."""
        return value

    @staticmethod
    def decode(data: BytesIO) -> bytes:
        """Read them. Raises ValueError when there are fewer."""
        value = data.read(16)
        if len(value) != 16:
            raise ValueError("buffer underrun in a topic id")
        return value

    @staticmethod
    def repr(value: bytes) -> str:
        """Return what logs show."""
        return value.hex()


Partition = namedtuple(
    "Partition", "error_code partition leader leader_epoch replicas isr offline tags"
)
FoundTopic = namedtuple(
    "FoundTopic", "error_code name topic_id is_internal partitions authorized_operations tags"
)

_PARTITION = Schema(
    ("error_code", Int16),
    ("partition", Int32),
    ("leader", Int32),
    ("leader_epoch", Int32),
    ("replicas", CompactArray(Int32)),
    ("isr", CompactArray(Int32)),
    ("offline", CompactArray(Int32)),
    ("tags", TaggedFields),
)
_BROKER = Schema(
    ("node_id", Int32),
    ("host", CompactString()),
    ("port", Int32),
    ("rack", CompactString()),
    ("tags", TaggedFields),
)
_TOPIC = Schema(
    ("error_code", Int16),
    ("name", CompactString()),
    ("topic_id", Uuid),
    ("is_internal", Boolean),
    ("partitions", CompactArray(_PARTITION)),
    ("authorized_operations", Int32),
    ("tags", TaggedFields),
)


class MetadataResponse_v12(Response):
    """What the brokers know of the topics that were asked for."""

    API_KEY = 3
    API_VERSION = 12
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("brokers", CompactArray(_BROKER)),
        ("cluster_id", CompactString()),
        ("controller_id", Int32),
        ("topics", CompactArray(_TOPIC)),
        ("tags", TaggedFields),
    )

    def found(self) -> list[FoundTopic]:
        """Return the topics, with names for the places of each tuple."""
        return [
            topic._replace(partitions=[Partition(*row) for row in topic.partitions])
            for topic in (FoundTopic(*row) for row in self.topics)
        ]


class MetadataRequest_v12(RequestStruct):
    """Ask for topics by name."""

    FLEXIBLE_VERSION = True
    API_KEY = 3
    API_VERSION = 12
    RESPONSE_TYPE = MetadataResponse_v12
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(("topic_id", Uuid), ("name", CompactString()), ("tags", TaggedFields)),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class MetadataRequest(Request[MetadataRequest_v12]):
    """Ask for topics; never makes one."""

    API_KEY = 3

    def __init__(self, *topics: str) -> None:
        """Ask for `topics` by name; for all where none is named."""
        self._topics = topics

    def build(self, request_struct_class: type[MetadataRequest_v12]) -> MetadataRequest_v12:
        """Return the request as aiokafka sends it."""
        topics = [(_NO_TOPIC_ID, topic, _NO_TAGS) for topic in self._topics]
        return request_struct_class(topics or None, False, False, _NO_TAGS)
