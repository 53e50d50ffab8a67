"""Drills while Kafka does not take them, or does not give them back."""

from collections.abc import Sequence

import pytest

from services.central.drills.log import DrillsLog
from services.central.settings import SettingsAway
from shared.drill import Drill, Kind
from shared.kafka import Brokers, KafkaAway, SendRefused, Sent
from shared.topics import DRILLS, HA_HISTORY, Outgoing

DRILL = Drill("00" * 8, Kind.SWITCHOVER, "central-a", 0)


def drills_log(error: Exception | None) -> DrillsLog:
    async def commit(records: Sequence[Outgoing]) -> list[Sent]:
        if error is not None:
            raise error
        return [Sent(0, 7, 0)]

    return DrillsLog(
        Brokers("127.0.0.1:1"), topic=DRILLS, history=HA_HISTORY, client_id="a", commit=commit,
        now_ms=lambda: 0, wait_s=0.05,
    )  # fmt: skip


@pytest.mark.parametrize("error", [KafkaAway("no broker"), SendRefused("no"), None])
async def test_a_drill_that_is_not_known_to_be_kept_is_said_so(error: Exception | None) -> None:
    drills = drills_log(error)
    for _ in range(2):
        # And the next one is not held up.
        with pytest.raises(SettingsAway):
            await drills.note(DRILL)
