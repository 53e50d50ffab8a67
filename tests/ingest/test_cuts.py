"""Where segments were cut: what is noted, taken back, damaged and deleted."""

import errno
import os
from pathlib import Path

import pytest

from services.ingest.publish.cuts import Cuts, drop_all_cuts, drop_cuts, load_cuts
from services.ingest.spool.reader import SpoolPosition


def test_cuts_of_each_segment_come_back_in_order(tmp_path: Path) -> None:
    cuts = Cuts(tmp_path)
    for segment, offset in ((1, 900), (1, 700), (2, 800), (1, 900)):
        cuts.note(7, SpoolPosition(segment, offset))
    cuts.close()

    assert load_cuts(tmp_path, 1, 7) == [700, 900]
    assert load_cuts(tmp_path, 2, 7) == [800]
    assert load_cuts(tmp_path, 3, 7) == []
    assert (tmp_path / "000000000001.cuts").stat().st_size == 24


def test_a_cut_taken_back_is_none_until_it_is_noted_again(tmp_path: Path) -> None:
    cuts = Cuts(tmp_path)
    cuts.note(7, SpoolPosition(1, 900))
    cuts.take_back(7, SpoolPosition(1, 900))
    cuts.take_back(7, SpoolPosition(1, 900))
    assert load_cuts(tmp_path, 1, 7) == []

    cuts.note(7, SpoolPosition(1, 900))

    assert load_cuts(tmp_path, 1, 7) == [900]
    cuts.close()


def test_a_half_written_cut_costs_only_itself(tmp_path: Path) -> None:
    cuts = Cuts(tmp_path)
    cuts.note(7, SpoolPosition(1, 700))
    cuts.close()
    path = tmp_path / "000000000001.cuts"
    path.write_bytes(path.read_bytes() + b"\1\2\3")
    assert load_cuts(tmp_path, 1, 7) == [700]

    cuts.note(7, SpoolPosition(1, 900))

    assert load_cuts(tmp_path, 1, 7) == [700, 900]
    cuts.close()


def test_dropped_cuts_are_gone_though_their_file_was_open(tmp_path: Path) -> None:
    cuts = Cuts(tmp_path)
    cuts.note(7, SpoolPosition(1, 700))
    drop_cuts(tmp_path, 1)

    cuts.note(7, SpoolPosition(1, 900))

    assert load_cuts(tmp_path, 1, 7) == [900]
    drop_all_cuts(tmp_path)
    assert load_cuts(tmp_path, 1, 7) == []
    cuts.close()


def test_cuts_of_a_segment_that_was_lost_are_not_those_of_the_next_one(tmp_path: Path) -> None:
    cuts = Cuts(tmp_path)
    cuts.note(7, SpoolPosition(1, 700))
    assert load_cuts(tmp_path, 1, 8) == []

    cuts.note(8, SpoolPosition(1, 600))
    cuts.close()

    assert load_cuts(tmp_path, 1, 8) == [600]
    assert load_cuts(tmp_path, 1, 7) == []


@pytest.mark.parametrize("fits_bytes", [0, 3])
def test_a_cut_that_found_no_room_is_noted_whole_the_next_time(
    tmp_path: Path, fits_bytes: int
) -> None:
    has_room = False

    def write(file: int, entry: bytes) -> int:
        if has_room:
            return os.write(file, entry)
        if fits_bytes:
            return os.write(file, entry[:fits_bytes])
        raise OSError(errno.ENOSPC, "no room")

    cuts = Cuts(tmp_path, write=write)
    with pytest.raises(OSError, match=r"No space|no room"):
        cuts.note(7, SpoolPosition(1, 700))
    has_room = True

    cuts.note(7, SpoolPosition(1, 700))

    assert load_cuts(tmp_path, 1, 7) == [700]
    cuts.close()
