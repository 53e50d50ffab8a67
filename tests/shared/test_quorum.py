"""Which observers of the quorum may be given a vote."""

from shared.kafka.membership import READING_MS, that_read

OLD, NEW = b"old disk", b"new disk"
NOW_MS = 1_000_000
LEADER: tuple[object, ...] = (1, b"leader", 500, NOW_MS, NOW_MS, {})


def observer(number: int, disk: bytes, *, read_ms_ago: int) -> tuple[object, ...]:
    return (number, disk, 500, NOW_MS - read_ms_ago, NOW_MS, {})


def test_of_one_number_the_disk_counts_that_reads() -> None:
    gone, there = observer(2, OLD, read_ms_ago=5000), observer(2, NEW, read_ms_ago=300)

    for observers in ((gone, there), (there, gone)):
        assert that_read((LEADER,), observers) == [there]


def test_one_that_is_gone_is_no_observer() -> None:
    gone = observer(2, OLD, read_ms_ago=READING_MS + 1)

    assert that_read((LEADER,), (gone, observer(3, NEW, read_ms_ago=10))) == [
        observer(3, NEW, read_ms_ago=10)
    ]


def test_one_that_reads_stays() -> None:
    each = observer(2, NEW, read_ms_ago=READING_MS)

    assert that_read((LEADER,), (each,)) == [each]
