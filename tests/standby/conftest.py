"""What a machine measures of itself and of Kafka, where a test is about something else."""

from pathlib import Path

import pytest

from services.standby import kafka_here, measuring
from shared.kafka import Brokers, KafkaAway


@pytest.fixture
def measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have Kafka tell nothing, and everything else be fine."""

    async def nothing(brokers: Brokers, now_ms: int) -> None:
        return None

    async def nowhere(brokers: Brokers) -> list[str]:
        raise KafkaAway("nobody")

    async def at_once(brokers: Brokers) -> float:
        return 0.0

    async def near(brokers: Brokers, own_hosts: object) -> float:
        return 1.0

    async def fast(folder: Path) -> float:
        return 1e6

    async def days() -> tuple[int, ...]:
        return (7, 30, 730)

    monkeypatch.setattr(measuring, "kept_days", days)
    monkeypatch.setattr(measuring, "kafka_keeps_s", nothing)
    monkeypatch.setattr(measuring, "kafka_offset_ms", at_once)
    monkeypatch.setattr(measuring, "kafka_round_trip_ms", near)
    monkeypatch.setattr(measuring, "inserts_per_s", fast)
    monkeypatch.setattr(kafka_here, "broker_addresses", nowhere)
