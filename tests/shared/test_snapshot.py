"""The manifest: what it may name, and who may use it."""

import json

import pytest
from pydantic import ValidationError

from shared.release import RELEASE
from shared.snapshot import (
    SnapshotError,
    SnapshotFile,
    decode_manifest,
    encode_manifest,
    parts_of,
    why_not,
)
from tests.conftest import ROOT
from tests.standby.small_primary import manifest_of

FILES = {
    "metadata.db": b"x",
    "store/flows/20260302_1_8_2/data.bin": b"x",
    "store/flows/20260302_1_8_2/datagrams.proj/data.bin": b"x",
    "store/flows/20260302_9_9_0/src%2Dx.size0.bin": b"x",
}


def test_a_manifest_is_read_as_it_was_written() -> None:
    manifest = manifest_of(FILES)
    assert decode_manifest(encode_manifest(manifest)) == manifest
    assert manifest.total_bytes == 4
    assert {part: len(names) for part, names in parts_of("flows", FILES).items()} == {
        "20260302_1_8_2": 2,
        "20260302_9_9_0": 1,
    }


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x",
        "manifest.json",
        "complete",
        "/metadata.db",
        "../metadata.db",
        "metadata.db\n",
        "store/flows",
        "store/flows/part",
        "store/flows/../data.bin",
        "store/flows/part/../../../x",
        "store/flows/part/./data.bin",
        "store/flows/part//data.bin",
        "store/flows/pa'rt/data.bin",
        "store/fl ows/part/data.bin",
        "store/flows/part/a/b/c",
        "store\\flows\\part\\x",
        "store/flows/part/" + "x" * 600,
    ],
)
def test_a_name_that_could_lead_elsewhere_is_none(name: str) -> None:
    with pytest.raises(ValidationError):
        SnapshotFile(name=name, size_bytes=1, sha256="0" * 64)


def test_what_cannot_be_a_manifest_is_named() -> None:
    good = manifest_of(FILES).model_dump()
    for changes, why in (
        ({"files": [*good["files"], good["files"][0]]}, "a file is named twice"),
        ({"files": good["files"][1:]}, "there is no metadata.db"),
        ({"tables": []}, "files of no table: flows"),
        ({"version": 2}, "version"),
        ({"surprise": 1}, "surprise"),
    ):
        with pytest.raises(SnapshotError, match=why):
            decode_manifest(json.dumps({**good, **changes}).encode())
    with pytest.raises(SnapshotError, match=r"manifest\.json cannot be read"):
        decode_manifest(b"\xff")


def test_another_release_is_named_to_be_installed() -> None:
    manifest = manifest_of(FILES)
    here = {"release": "0.1.0", "store_revision": "0004", "metadata_revision": "0001"}
    assert why_not(manifest, **here) == ""
    assert why_not(manifest, **{**here, "store_revision": "0005"}) == (
        "the snapshot is of steadflow 0.1.0 (store revision 0004, metadata revision 0001), this is "
        "0.1.0 (store revision 0005, metadata revision 0001): install steadflow 0.1.0 here"
    )


def test_the_release_is_that_of_the_project() -> None:
    assert f'\nversion = "{RELEASE}"\n' in (ROOT / "pyproject.toml").read_text()
