"""What a collector keeps of `ha.roles`, in memory and on disk."""

from pathlib import Path

import pytest

from services.ingest.known_roles import FILE, KnownRoles
from shared.kafka import Record
from shared.roles.cluster import ClusterRoles, encode_roles

A, B = "http://10.0.0.1:8470", "http://10.0.0.2:8470"


def roles(epoch: int, primary: str = "central-a", *standbys: str) -> ClusterRoles:
    return ClusterRoles(
        generation=1,
        epoch=epoch,
        primary=primary,
        standbys=standbys,
        endpoints={"central-a": A, "central-b": B},
    )


def record(value: bytes) -> Record:
    return Record("ha.roles", 0, 0, 0, b"cluster", value, ())


def test_the_highest_epoch_is_kept_and_shown(tmp_path: Path) -> None:
    known = KnownRoles(tmp_path)
    assert known.status() == {"primary": None, "standbys": []}

    for found in (roles(7), roles(9, "central-b", "central-a", "central-c"), roles(8)):
        known.take(record(encode_roles(found)), "topic-1")

    assert known.status() == {
        "primary": {"node": "central-b", "url": B, "epoch": 9},
        "standbys": [{"node": "central-a", "url": A}, {"node": "central-c", "url": ""}],
    }


def test_standbys_change_within_an_epoch(tmp_path: Path) -> None:
    known = KnownRoles(tmp_path)
    known.take(record(encode_roles(roles(7))), "topic-1")

    known.take(record(encode_roles(roles(7, "central-a", "central-b"))), "topic-1")

    assert known.status()["standbys"] == [{"node": "central-b", "url": B}]


def test_it_outlives_the_process(tmp_path: Path) -> None:
    KnownRoles(tmp_path).take(record(encode_roles(roles(7))), "topic-1")

    known = KnownRoles(tmp_path)

    assert known.roles == roles(7)
    known.take(record(encode_roles(roles(6, "central-b"))), "topic-1")
    assert known.roles == roles(7)


def test_a_topic_made_again_begins_anew(tmp_path: Path) -> None:
    KnownRoles(tmp_path).take(record(encode_roles(roles(700))), "topic-1")
    known = KnownRoles(tmp_path)

    known.take(record(encode_roles(roles(3, "central-b"))), "topic-2")

    assert known.roles == roles(3, "central-b")
    assert KnownRoles(tmp_path).roles == roles(3, "central-b")


@pytest.mark.parametrize("content", [b"", b"{}", b"[]", b'{"roles":{},"topic_id":"t"}', b"\xff"])
def test_a_file_that_is_none_is_passed_over(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)

    assert KnownRoles(tmp_path).roles is None


def test_what_cannot_be_read_is_counted_and_changes_nothing(tmp_path: Path) -> None:
    known = KnownRoles(tmp_path)
    known.take(record(encode_roles(roles(7))), "topic-1")

    for value in (b"", b"no json", b'{"generation":1,"epoch":"many","primary":"x"}'):
        known.take(record(value), "topic-1")

    assert (known.roles, known.refused) == (roles(7), 3)


def test_it_is_known_though_the_disk_takes_nothing(tmp_path: Path) -> None:
    known = KnownRoles(tmp_path / "missing")

    known.take(record(encode_roles(roles(7))), "topic-1")

    assert known.roles == roles(7)
