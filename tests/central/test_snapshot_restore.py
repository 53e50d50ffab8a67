"""Restoring a snapshot: through kills at every step, and what is refused."""

import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from services.central.app import open_central
from services.central.config import CentralConfig
from services.central.snapshot.restore import REPLACE, RESTORE, restore_if_asked
from services.central.snapshot.restore_plan import Action, Found, decide
from shared.config import ConfigError
from shared.snapshot import COMPLETE, MANIFEST, Manifest, SnapshotTable, encode_manifest
from shared.snapshot_folder import is_complete, mark_complete, read_manifest, verify
from tests.central.snapshots import as_downloaded, fed, origin_of, read, snapshot_of, sums_of
from tests.central.snapshots_at_every_step import a_log
from tests.conftest import ROOT

Sums = dict[str, SnapshotTable]


class Killed(Exception):
    """In place of a kill: nothing after the step that raised it happens."""


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A snapshot of a store with rows in every table."""
    folder = tmp_path_factory.mktemp("primary")
    with fed(folder / "a") as applier:
        read(applier, a_log()[:60], at_once=7)
        snapshot_of(folder / "a", folder / "snapshot")
    return folder / "snapshot"


def restore(data_dir: Path, before_step: Callable[[str], None] = lambda step: None) -> bool:
    return restore_if_asked(data_dir, origin_of(data_dir), before_step=before_step)


def sums_in(data_dir: Path) -> Sums:
    with fed(data_dir) as applier:
        return sums_of(applier._store)  # type: ignore[arg-type]  # a FlowStore


def manifest_of(folder: Path) -> Manifest:
    return read_manifest(folder)


def expected_of(folder: Path) -> Sums:
    return {table.name: table for table in manifest_of(folder).tables}


def test_a_restored_store_holds_what_the_manifest_says(snapshot: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "b"
    as_downloaded(snapshot, data_dir)
    assert restore(data_dir)
    assert {path.name for path in data_dir.iterdir()} == {"store", "metadata.db"}
    assert sums_in(data_dir) == expected_of(snapshot)
    assert all(table.rows for table in manifest_of(snapshot).tables)
    assert not restore(data_dir)


def test_a_restore_killed_at_every_step_ends_equal(snapshot: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "b"
    as_downloaded(snapshot, data_dir)
    steps: list[str] = []

    def dies_at(number: int) -> Callable[[str], None]:
        left = [number]

        def before_step(step: str) -> None:
            left[0] -= 1
            if left[0] < 0:
                steps.append(step)
                raise Killed(step)

        return before_step

    # Each life ends one step later than the one before it, all on one folder.
    for number in range(1000):
        try:
            assert restore(data_dir, dies_at(number)) or "finish" in steps
        except Killed:
            continue
        break
    parts = {step.split("/")[0] for step in steps if step.startswith("attach")}
    assert parts == {"attach rollups", "attach flows", "attach losses", "attach quarantine"}
    assert {"verify", "mark", "wipe", "migrate", "check", "metadata", "sync", "finish"} < set(steps)
    assert sums_in(data_dir) == expected_of(snapshot)
    assert {path.name for path in data_dir.iterdir()} == {"store", "metadata.db"}


def test_killed_while_it_tidies_up_the_store_counts(snapshot: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "b"
    as_downloaded(snapshot, data_dir)

    def dies_before(last: str) -> Callable[[str], None]:
        def before_step(step: str) -> None:
            if step == last:
                raise Killed(step)

        return before_step

    for last in ("unmark", "remove"):
        with pytest.raises(Killed):
            restore(data_dir, dies_before(last))
    assert not restore(data_dir)
    assert {path.name for path in data_dir.iterdir()} == {"store", "metadata.db"}
    assert sums_in(data_dir) == expected_of(snapshot)


def test_a_whole_copy_replaces_a_store_where_that_is_asked_for(
    snapshot: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "b"
    with fed(data_dir) as applier:
        read(applier, a_log()[:5])
        before = sums_of(applier._store)  # type: ignore[arg-type]  # a FlowStore
    as_downloaded(snapshot, data_dir)
    (data_dir / RESTORE / COMPLETE).unlink()
    (data_dir / REPLACE).write_text("the snapshot")
    assert not restore(data_dir)
    assert sums_in(data_dir) == before != expected_of(snapshot)

    mark_complete(data_dir / RESTORE)
    assert restore(data_dir)

    assert {path.name for path in data_dir.iterdir()} == {"store", "metadata.db"}
    assert sums_in(data_dir) == expected_of(snapshot)


@pytest.mark.faults
@pytest.mark.parametrize("step", ["migrate", "attach flows", "check", "metadata", "finish"])
def test_a_restore_that_is_really_killed_is_made_anew(
    step: str, snapshot: Path, tmp_path: Path
) -> None:
    data_dir = tmp_path / "b"
    as_downloaded(snapshot, data_dir)
    command = [sys.executable, "-m", "tests.central.restore_until_killed", str(data_dir), step]
    done = subprocess.run(command, cwd=ROOT, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert restore(data_dir)
    assert sums_in(data_dir) == expected_of(snapshot)


def test_half_a_store_is_never_used(snapshot: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "b"
    folder = as_downloaded(snapshot, data_dir)

    def dies(step: str) -> None:
        if step == "check":
            raise Killed

    with pytest.raises(Killed):
        restore(data_dir, dies)
    (folder / COMPLETE).unlink()
    with pytest.raises(ConfigError, match="half restored"):
        restore(data_dir)
    mark_complete(folder)
    assert restore(data_dir)


def test_a_damaged_file_is_named_and_nothing_is_used(snapshot: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "b"
    folder = as_downloaded(snapshot, data_dir)
    victim = next(folder.glob("store/flows/*/data.bin"))
    content = bytearray(victim.read_bytes())
    content[len(content) // 2] ^= 1
    victim.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{victim.parent.name}/data\.bin is damaged"):
        restore(data_dir)
    assert {path.name for path in data_dir.iterdir()} == {RESTORE}
    victim.write_bytes(content[:-1])
    with pytest.raises(ConfigError, match=r"data\.bin is truncated or damaged: \d+ bytes instead"):
        restore(data_dir)
    victim.unlink()
    with pytest.raises(ConfigError, match=r"data\.bin cannot be read: No such file"):
        restore(data_dir)
    assert {path.name for path in data_dir.iterdir()} == {RESTORE}


def test_a_changed_manifest_is_refused(snapshot: Path, tmp_path: Path) -> None:
    folder = as_downloaded(snapshot, tmp_path / "b")
    manifest = manifest_of(folder)
    (folder / MANIFEST).write_bytes(encode_manifest(manifest.model_copy(update={"made_for": "x"})))
    with pytest.raises(ConfigError, match=r"manifest\.json is not the one that was downloaded"):
        restore(tmp_path / "b")
    (folder / MANIFEST).write_bytes(b"{")
    with pytest.raises(ConfigError, match=r"manifest\.json cannot be read"):
        restore(tmp_path / "b")


def test_rows_that_are_not_the_manifests_are_refused(snapshot: Path, tmp_path: Path) -> None:
    folder = as_downloaded(snapshot, tmp_path / "b")
    manifest = manifest_of(folder)
    wrong = [
        table.model_copy(update={"digest": "0" * 16}) if table.name == "flows" else table
        for table in manifest.tables
    ]
    rewrite(folder, manifest.model_copy(update={"tables": tuple(wrong)}))
    with pytest.raises(ConfigError, match=r"table flows has \d+ rows of digest"):
        restore(tmp_path / "b")


@pytest.mark.parametrize("field", ["release", "store_revision", "metadata_revision"])
def test_a_snapshot_of_another_release_names_the_one_to_install(
    field: str, snapshot: Path, tmp_path: Path
) -> None:
    folder = as_downloaded(snapshot, tmp_path / "b")
    other = manifest_of(folder).model_copy(update={field: "9.9.9"})
    rewrite(folder, other)
    with pytest.raises(ConfigError, match=f"install steadflow {other.release} here"):
        restore(tmp_path / "b")
    assert {path.name for path in (tmp_path / "b").iterdir()} == {RESTORE}


def test_a_store_with_rows_is_left_alone(snapshot: Path, tmp_path: Path) -> None:
    data_dir = tmp_path / "b"
    with fed(data_dir) as applier:
        read(applier, a_log()[:8])
        before = sums_of(applier._store)  # type: ignore[arg-type]  # a FlowStore
    as_downloaded(snapshot, data_dir)
    with pytest.raises(ConfigError, match=r"the store has \d+ rows already"):
        restore(data_dir)
    assert sums_in(data_dir) == before


def test_a_store_with_tables_and_no_rows_is_empty(snapshot: Path, tmp_path: Path) -> None:
    with fed(tmp_path / "b"):
        pass
    as_downloaded(snapshot, tmp_path / "b")
    assert restore(tmp_path / "b")
    assert sums_in(tmp_path / "b") == expected_of(snapshot)


def test_a_download_under_way_is_no_reason_to_wait(snapshot: Path, tmp_path: Path) -> None:
    folder = as_downloaded(snapshot, tmp_path / "b")
    (folder / COMPLETE).unlink()
    assert not restore(tmp_path / "b")
    assert not is_complete(folder)


def test_a_central_starts_from_a_snapshot(snapshot: Path, tmp_path: Path) -> None:
    as_downloaded(snapshot, tmp_path / "b")
    config = CentralConfig(data_dir=tmp_path / "b", live=False)
    central = open_central(config)
    try:
        assert central.applier.state.streams.keys() == {1, 2}
        assert central.settings_tables.retention() is None
    finally:
        central.close()


def test_a_snapshot_for_a_store_by_url_is_refused(snapshot: Path, tmp_path: Path) -> None:
    as_downloaded(snapshot, tmp_path / "b")
    config = CentralConfig(data_dir=tmp_path / "b", store_url="http://127.0.0.1:1/x", live=False)
    with pytest.raises(ConfigError, match="restore that server's own backup"):
        open_central(config)


def test_a_downloaded_folder_is_verified_without_a_store(snapshot: Path, tmp_path: Path) -> None:
    folder = as_downloaded(snapshot, tmp_path / "b")
    counted: list[int] = []
    manifest = verify(folder, counted.append)
    assert sum(counted) == manifest.total_bytes
    # A snapshot's folder itself is no download.
    shutil.rmtree(tmp_path / "b")


@pytest.mark.parametrize(
    ("found", "action"),
    [
        (Found(is_complete=False, was_begun=False, is_embedded=True), Action.OPEN),
        (Found(is_complete=False, was_begun=False, is_embedded=False), Action.OPEN),
        (Found(is_complete=False, was_begun=True, is_embedded=True), Action.REFUSE),
        (Found(is_complete=True, was_begun=False, is_embedded=True), Action.RESTORE),
        (Found(is_complete=True, was_begun=False, is_embedded=True, rows=1), Action.REFUSE),
        (Found(is_complete=True, was_begun=True, is_embedded=True, rows=1), Action.RESTORE),
        (Found(is_complete=True, was_begun=False, is_embedded=False), Action.REFUSE),
        (
            Found(is_complete=True, was_begun=False, is_embedded=True, is_replacing=True, rows=1),
            Action.RESTORE,
        ),
        # The store of before is kept until the new copy is whole.
        (
            Found(is_complete=False, was_begun=False, is_embedded=True, is_replacing=True, rows=1),
            Action.OPEN,
        ),
    ],
)
def test_the_plan(found: Found, action: Action) -> None:
    decided, why = decide(found)
    assert decided is action
    assert bool(why) == (action is Action.REFUSE)


def rewrite(folder: Path, manifest: Manifest) -> None:
    (folder / MANIFEST).write_bytes(encode_manifest(manifest))
    mark_complete(folder)
