"""What a snapshot of a central's data holds: its manifest and the names in its folder. Pure."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

MANIFEST: Final = "manifest.json"
METADATA: Final = "metadata.db"
COMPLETE: Final = "complete"
"""Holds the sha256 of the manifest once every file is there."""

_SEGMENT = r"[A-Za-z0-9_%][A-Za-z0-9_%.-]*"
# A table, one of its parts, and a file in it or in one of its projections. No segment begins with
# a dot, so that no name leads out of the folder.
_FILE_NAME = rf"^(metadata\.db|store/[a-z_]+/{_SEGMENT}/({_SEGMENT}/)?{_SEGMENT})$"

_FROZEN = ConfigDict(extra="forbid", frozen=True)
_Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class SnapshotError(Exception):
    """A snapshot that cannot be used; the text is one sentence that names what is wrong."""


class SnapshotFile(BaseModel):
    """One file by its name below the snapshot's folder."""

    model_config = _FROZEN
    name: str = Field(pattern=_FILE_NAME, max_length=600)
    size_bytes: int = Field(ge=0, lt=1 << 50)
    sha256: _Sha256


class SnapshotTable(BaseModel):
    """What a table must hold once all its parts are attached.

    digest: sum (modulo 2^64) of the row hashes, 16 hex digits.
    """

    model_config = _FROZEN
    name: str = Field(pattern=r"^[a-z_]{1,40}$")
    rows: int = Field(ge=0)
    digest: str = Field(pattern=r"^[0-9a-f]{16}$")


class SnapshotPosition(BaseModel):
    """Where reading goes on, at the latest: next offset of a partition of the topic of that id."""

    model_config = _FROZEN
    topic: str
    topic_id: str
    partition: int
    next_offset: int


class Manifest(BaseModel):
    """All that a snapshot holds. made_at_ms: UTC; made_for: whoever asked for it."""

    model_config = _FROZEN
    version: Literal[1] = 1
    id: str = Field(pattern=r"^[0-9a-f]{16}$")
    made_for: str
    made_at_ms: int
    release: str
    store_revision: str
    metadata_revision: str
    positions: tuple[SnapshotPosition, ...]
    tables: tuple[SnapshotTable, ...]
    files: tuple[SnapshotFile, ...]

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        names = [file.name for file in self.files]
        if len(set(names)) != len(names):
            raise ValueError("a file is named twice")
        if METADATA not in names:
            raise ValueError(f"there is no {METADATA}")
        if strangers := {_table_of(name) for name in names} - {t.name for t in self.tables} - {""}:
            raise ValueError(f"files of no table: {', '.join(sorted(strangers))}")
        return self

    @property
    def total_bytes(self) -> int:
        """Size of all files."""
        return sum(file.size_bytes for file in self.files)


def parts_of(table: str, names: Iterable[str]) -> dict[str, list[str]]:
    """Return those of `names` that belong to `table`, by part."""
    found: dict[str, list[str]] = {}
    for name in names:
        if _table_of(name) == table:
            found.setdefault(name.split("/")[2], []).append(name)
    return found


def encode_manifest(manifest: Manifest) -> bytes:
    """Return the bytes of `manifest.json`."""
    return manifest.model_dump_json().encode()


def decode_manifest(content: bytes) -> Manifest:
    """Read the bytes of `manifest.json`. Raises SnapshotError."""
    try:
        return Manifest.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "as a whole"
        raise SnapshotError(f"{MANIFEST} cannot be read: {where}: {first['msg']}") from error


def why_not(
    manifest: Manifest, *, release: str, store_revision: str, metadata_revision: str
) -> str:
    """Return why a central of `release` with these revisions cannot use it; empty when it can."""
    there = (manifest.release, manifest.store_revision, manifest.metadata_revision)
    here = (release, store_revision, metadata_revision)
    if there == here:
        return ""
    return (
        f"the snapshot is of steadflow {_named(*there)}, this is {_named(*here)}: "
        f"install steadflow {manifest.release} here"
    )


def _named(release: str, store: str, metadata: str) -> str:
    return f"{release} (store revision {store}, metadata revision {metadata})"


def _table_of(name: str) -> str:
    return name.split("/")[1] if "/" in name else ""
