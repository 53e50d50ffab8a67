"""What found no room is counted whole, by minute and exporter."""

from services.ingest.receive.overflow import EXPORTERS_MAX, MINUTES_MAX, Overflow
from shared.addresses import UNSPECIFIED, pack_address
from shared.losses import Loss, LossReason

EXPORTER = pack_address("192.0.2.1")
OVERFLOW = LossReason.RECEIVER_OVERFLOW


def test_losses_come_back_oldest_minute_first() -> None:
    overflow = Overflow()
    overflow.add(EXPORTER, 59_000)
    overflow.add(EXPORTER, 59_999)
    overflow.add(EXPORTER, 60_000)
    assert overflow.oldest() == (59_999, [Loss(EXPORTER, OVERFLOW, 2)])
    overflow.forget([Loss(EXPORTER, OVERFLOW, 2)])
    assert overflow.oldest() == (60_000, [Loss(EXPORTER, OVERFLOW, 1)])
    overflow.forget([Loss(EXPORTER, OVERFLOW, 1)])
    assert overflow.oldest() is None


def test_bounds_make_places_coarser_and_lose_no_count() -> None:
    overflow = Overflow()
    for index in range(EXPORTERS_MAX + 5):
        overflow.add(index.to_bytes(16, "big"), 0)
    for minute in range(1, MINUTES_MAX + 7):
        overflow.add(EXPORTER, minute * 60_000)
    total, minutes = 0, 0
    unnamed = 0
    while (oldest := overflow.oldest()) is not None:
        minutes += 1
        total += sum(loss.datagrams for loss in oldest[1])
        unnamed += sum(x.datagrams for x in oldest[1] if x.exporter == UNSPECIFIED)
        overflow.forget(oldest[1])
    assert total == EXPORTERS_MAX + 5 + MINUTES_MAX + 6
    assert minutes == MINUTES_MAX
    # Index 0 is the unspecified address itself.
    assert unnamed == 1 + 5
