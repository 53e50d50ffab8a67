"""Requests about brokers, voters and replicas that aiokafka lacks, as Kafka 4 speaks them.

https://kafka.apache.org/protocol: each is sent to any broker, which hands it on to the controller.
So nothing of this needs Kafka's own tools, each of which starts a Java machine.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, NamedTuple

from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    Boolean,
    CompactArray,
    CompactString,
    Int8,
    Int16,
    Int32,
    Int64,
    Schema,
    TaggedFields,
)

from shared.kafka.metadata import Uuid

TIMEOUT_MS = 10_000
TOPIC, BROKER = 2, 4
"""Kinds of resources that have a configuration."""
SET = 0
PREFERRED = 0
METADATA_TOPIC = "__cluster_metadata"
_NO_TAGS: dict[int, bytes] = {}
_TAGS = ("tags", TaggedFields)
_TEXT = CompactString()


class _UInt16:
    """A port on the wire."""

    @staticmethod
    def encode(value: int) -> bytes:
        return value.to_bytes(2, "big")

    @staticmethod
    def decode(data: BytesIO) -> int:
        return int.from_bytes(data.read(2), "big")

    @staticmethod
    def repr(value: int) -> str:
        return str(value)


class Voter(NamedTuple):
    """A controller that votes, or may. host, port: of its CONTROLLER listener."""

    number: int
    directory_id: bytes
    host: str = ""
    port: int = 0


class _Struct(RequestStruct):
    """Every one here is of a flexible version."""

    FLEXIBLE_VERSION = True
    API_KEY = API_VERSION = -1
    RESPONSE_TYPE = Response
    SCHEMA = Schema()


class _Outcome(Response):
    API_KEY = API_VERSION = -1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32), ("error_code", Int16), ("error_message", _TEXT), _TAGS
    )


# --- who is there -------------------------------------------------------------------------------


class _ClusterAnswer(Response):
    API_KEY, API_VERSION = 60, 2
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _TEXT),
        ("endpoint_type", Int8),
        ("cluster_id", _TEXT),
        ("controller_id", Int32),
        (
            "brokers",
            CompactArray(
                ("number", Int32),
                ("host", _TEXT),
                ("port", Int32),
                ("rack", _TEXT),
                ("is_fenced", Boolean),
                _TAGS,
            ),
        ),
        ("operations", Int32),
        _TAGS,
    )


class _ClusterAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 60, 2, _ClusterAnswer
    SCHEMA = Schema(
        ("operations", Boolean), ("endpoint_type", Int8), ("fenced_too", Boolean), _TAGS
    )


class ClusterRequest(Request[_ClusterAsked]):
    """Ask for all brokers, also those that do not answer now."""

    API_KEY = 60

    def build(self, request_struct_class: type[_ClusterAsked]) -> _ClusterAsked:
        """Return the request as aiokafka sends it."""
        return request_struct_class(False, 1, True, _NO_TAGS)


_REPLICA = (
    ("number", Int32),
    ("directory_id", Uuid),
    ("end_offset", Int64),
    ("fetched_ms", Int64),
    ("caught_up_ms", Int64),
    _TAGS,
)


class _QuorumAnswer(Response):
    API_KEY, API_VERSION = 55, 2
    SCHEMA = Schema(
        ("error_code", Int16),
        ("error_message", _TEXT),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(
                        ("partition", Int32),
                        ("error_code", Int16),
                        ("error_message", _TEXT),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("high_watermark", Int64),
                        ("voters", CompactArray(*_REPLICA)),
                        ("observers", CompactArray(*_REPLICA)),
                        _TAGS,
                    ),
                ),
                _TAGS,
            ),
        ),
        (
            "nodes",
            CompactArray(
                ("number", Int32),
                (
                    "listeners",
                    CompactArray(("name", _TEXT), ("host", _TEXT), ("port", _UInt16), _TAGS),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _QuorumAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 55, 2, _QuorumAnswer
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("name", _TEXT), ("partitions", CompactArray(("partition", Int32), _TAGS)), _TAGS
            ),
        ),
        _TAGS,
    )


class QuorumRequest(Request[_QuorumAsked]):
    """Ask who votes, who only reads along, and how far each is."""

    API_KEY = 55

    def build(self, request_struct_class: type[_QuorumAsked]) -> _QuorumAsked:
        """Return the request as aiokafka sends it."""
        partitions = [(0, _NO_TAGS)]
        return request_struct_class([(METADATA_TOPIC, partitions, _NO_TAGS)], _NO_TAGS)


# --- changes ------------------------------------------------------------------------------------


class _AddVoterAnswer(_Outcome):
    API_KEY, API_VERSION = 80, 0


class _AddVoterAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 80, 0, _AddVoterAnswer
    SCHEMA = Schema(
        ("cluster_id", _TEXT),
        ("timeout_ms", Int32),
        ("number", Int32),
        ("directory_id", Uuid),
        ("listeners", CompactArray(("name", _TEXT), ("host", _TEXT), ("port", _UInt16), _TAGS)),
        _TAGS,
    )


class AddVoterRequest(Request[_AddVoterAsked]):
    """Let an observer vote; answered once the voters have agreed."""

    API_KEY = 80

    def __init__(self, cluster_id: str, voter: Voter) -> None:
        """voter: with the address of its controller."""
        self._cluster_id, self._voter = cluster_id, voter

    def build(self, request_struct_class: type[_AddVoterAsked]) -> _AddVoterAsked:
        """Return the request as aiokafka sends it."""
        voter = self._voter
        listeners = [("CONTROLLER", voter.host, voter.port, _NO_TAGS)]
        return request_struct_class(
            self._cluster_id, TIMEOUT_MS, voter.number, voter.directory_id, listeners, _NO_TAGS
        )


class _RemoveVoterAnswer(_Outcome):
    API_KEY, API_VERSION = 81, 0


class _RemoveVoterAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 81, 0, _RemoveVoterAnswer
    SCHEMA = Schema(("cluster_id", _TEXT), ("number", Int32), ("directory_id", Uuid), _TAGS)


class RemoveVoterRequest(Request[_RemoveVoterAsked]):
    """Let a voter only read along."""

    API_KEY = 81

    def __init__(self, cluster_id: str, voter: Voter) -> None:
        """voter: its address does not matter."""
        self._cluster_id, self._voter = cluster_id, voter

    def build(self, request_struct_class: type[_RemoveVoterAsked]) -> _RemoveVoterAsked:
        """Return the request as aiokafka sends it."""
        voter = self._voter
        return request_struct_class(self._cluster_id, voter.number, voter.directory_id, _NO_TAGS)


class _UnregisterAnswer(_Outcome):
    API_KEY, API_VERSION = 64, 0


class _UnregisterAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 64, 0, _UnregisterAnswer
    SCHEMA = Schema(("number", Int32), _TAGS)


class UnregisterRequest(Request[_UnregisterAsked]):
    """Forget a broker that is gone."""

    API_KEY = 64

    def __init__(self, number: int) -> None:
        """number: of the broker."""
        self._number = number

    def build(self, request_struct_class: type[_UnregisterAsked]) -> _UnregisterAsked:
        """Return the request as aiokafka sends it."""
        return request_struct_class(self._number, _NO_TAGS)


_PARTS = CompactArray(("partition", Int32), ("error_code", Int16), ("error_message", _TEXT), _TAGS)


class _ReassignAnswer(Response):
    API_KEY, API_VERSION = 45, 0
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("error_message", _TEXT),
        ("topics", CompactArray(("name", _TEXT), ("partitions", _PARTS), _TAGS)),
        _TAGS,
    )


class _ReassignAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 45, 0, _ReassignAnswer
    SCHEMA = Schema(
        ("timeout_ms", Int32),
        (
            "topics",
            CompactArray(
                ("name", _TEXT),
                (
                    "partitions",
                    CompactArray(("partition", Int32), ("replicas", CompactArray(Int32)), _TAGS),
                ),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class ReassignRequest(Request[_ReassignAsked]):
    """Begin to move partitions to other replicas."""

    API_KEY = 45

    def __init__(self, topics: Mapping[str, Mapping[int, Sequence[int]]]) -> None:
        """topics: the replicas of each partition, the preferred leader first."""
        self._topics = topics

    def build(self, request_struct_class: type[_ReassignAsked]) -> _ReassignAsked:
        """Return the request as aiokafka sends it."""
        topics = [
            (name, [(number, list(to), _NO_TAGS) for number, to in parts.items()], _NO_TAGS)
            for name, parts in self._topics.items()
        ]
        return request_struct_class(TIMEOUT_MS, topics, _NO_TAGS)


class _ElectAnswer(Response):
    API_KEY, API_VERSION = 43, 2
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        ("error_code", Int16),
        ("topics", CompactArray(("name", _TEXT), ("partitions", _PARTS), _TAGS)),
        _TAGS,
    )


class _ElectAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 43, 2, _ElectAnswer
    SCHEMA = Schema(
        ("kind", Int8),
        ("topics", CompactArray(("name", _TEXT), ("partitions", CompactArray(Int32)), _TAGS)),
        ("timeout_ms", Int32),
        _TAGS,
    )


class ElectRequest(Request[_ElectAsked]):
    """Have the preferred replicas lead."""

    API_KEY = 43

    def __init__(self, topics: Mapping[str, Sequence[int]]) -> None:
        """topics: partitions of each."""
        self._topics = topics

    def build(self, request_struct_class: type[_ElectAsked]) -> _ElectAsked:
        """Return the request as aiokafka sends it."""
        topics = [(name, list(parts), _NO_TAGS) for name, parts in self._topics.items()]
        return request_struct_class(PREFERRED, topics, TIMEOUT_MS, _NO_TAGS)


class _ConfigAnswer(Response):
    API_KEY, API_VERSION = 44, 1
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "resources",
            CompactArray(
                ("error_code", Int16),
                ("error_message", _TEXT),
                ("kind", Int8),
                ("name", _TEXT),
                _TAGS,
            ),
        ),
        _TAGS,
    )


class _ConfigAsked(_Struct):
    API_KEY, API_VERSION, RESPONSE_TYPE = 44, 1, _ConfigAnswer
    SCHEMA = Schema(
        (
            "resources",
            CompactArray(
                ("kind", Int8),
                ("name", _TEXT),
                (
                    "configs",
                    CompactArray(("name", _TEXT), ("operation", Int8), ("value", _TEXT), _TAGS),
                ),
                _TAGS,
            ),
        ),
        ("validate_only", Boolean),
        _TAGS,
    )


class ConfigRequest(Request[_ConfigAsked]):
    """Set some settings of topics and brokers; the others stay."""

    API_KEY = 44

    def __init__(self, resources: Mapping[tuple[int, str], Mapping[str, str]]) -> None:
        """resources: settings by kind and name; a broker without a name is every broker."""
        self._resources = resources

    def build(self, request_struct_class: type[_ConfigAsked]) -> _ConfigAsked:
        """Return the request as aiokafka sends it."""
        resources: list[Any] = [
            (kind, name, [(key, SET, value, _NO_TAGS) for key, value in new.items()], _NO_TAGS)
            for (kind, name), new in self._resources.items()
        ]
        return request_struct_class(resources, False, _NO_TAGS)
