"""Kafka as steadflow uses it; types of aiokafka appear in this package only."""

from shared.kafka.brokers import Brokers, configured_brokers, noted_brokers, with_noted
from shared.kafka.errors import (
    KafkaAway,
    PositionLost,
    SendRefused,
    SendTooLarge,
    TopicRefused,
    unbroken,
)
from shared.kafka.fenced import Fenced, FencedProducer
from shared.kafka.looks import Looks
from shared.kafka.membership import Membership, MembershipRefused, open_membership
from shared.kafka.producer import Headers, Producer, Sent
from shared.kafka.pulse import Pulse
from shared.kafka.reader import Reader, Record
from shared.kafka.round_trip import round_trips_ms
from shared.kafka.topics import (
    PartitionFacts,
    broker_addresses,
    delete_records,
    ensure_topics,
    first_partition_facts,
    offsets_since,
    oldest_ms,
    partition_facts,
    registered_addresses,
)

__all__ = [
    "Brokers",
    "Fenced",
    "FencedProducer",
    "Headers",
    "KafkaAway",
    "Looks",
    "Membership",
    "MembershipRefused",
    "PartitionFacts",
    "PositionLost",
    "Producer",
    "Pulse",
    "Reader",
    "Record",
    "SendRefused",
    "SendTooLarge",
    "Sent",
    "TopicRefused",
    "broker_addresses",
    "configured_brokers",
    "delete_records",
    "ensure_topics",
    "first_partition_facts",
    "noted_brokers",
    "offsets_since",
    "oldest_ms",
    "open_membership",
    "partition_facts",
    "registered_addresses",
    "round_trips_ms",
    "unbroken",
    "with_noted",
]
