"""Snapshots over HTTP: who may have them, in which pieces, and how long they are kept."""

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from services.central.problems import add_problems
from services.central.snapshot.api import add_snapshot_problems, snapshots_router
from services.central.snapshot.kept import KEPT_MAX, KEPT_MS, SnapshotNotNow, Snapshots, State
from services.central.snapshot.making import Origin
from services.central.snapshot.metrics import SnapshotCollector
from shared.snapshot import decode_manifest
from tests.central.centrals import TOKEN, authorized, with_token
from tests.central.snapshots import fed, names_in, origin_of, read
from tests.central.snapshots_at_every_step import a_log
from tests.waiting import wait_until

PATH = "/api/v1/snapshots"


class Clock:
    def __init__(self) -> None:
        self.now_ms = 1_700_000_000_000
        self.free_bytes = 1 << 40
        self._ids = iter(f"{number:016x}" for number in range(1, 100))

    def snapshots(
        self,
        data_dir: Path,
        origin: Origin | None,
        released: Callable[[str], None] = lambda why: None,
    ) -> Snapshots:
        opened = Snapshots(
            origin,
            data_dir / "snapshots",
            now_ms=lambda: self.now_ms,
            new_id=lambda: next(self._ids),
            free_bytes=lambda path: self.free_bytes,
            released=released,
        )
        opened.open()
        return opened


def app_of(snapshots: Snapshots) -> FastAPI:
    app = FastAPI()
    add_problems(app)
    app.include_router(snapshots_router(snapshots, with_token))
    add_snapshot_problems(app)
    return app


@asynccontextmanager
async def client_of(snapshots: Snapshots) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app_of(snapshots))
    async with httpx.AsyncClient(
        transport=transport, base_url="http://central", headers=authorized()
    ) as client:
        yield client


def ready(snapshots: Snapshots, made_for: str = "central-b") -> str:
    kept, _ = snapshots.ask(made_for)
    wait_until(lambda: kept.state is not State.MAKING, "the snapshot is made", every_s=0.01)
    assert kept.state is State.READY, kept.why
    return kept.id


class Released:
    """Why snapshots went, and what Prometheus is told of those that are kept."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.whys: list[str] = []

    def told(self, snapshots: Snapshots) -> dict[str, float]:
        found = SnapshotCollector("x", snapshots.all, lambda: self._clock.now_ms).collect()
        return {each.name: sum(one.value for one in each.samples) for each in found}


def shadows(data_dir: Path) -> list[str]:
    return [path.name for path in (data_dir / "store" / "shadow").glob("snapshot_*")]


async def test_a_snapshot_is_asked_for_fetched_in_pieces_and_released(tmp_path: Path) -> None:
    with fed(tmp_path) as applier:
        read(applier, a_log()[:30])
        snapshots = Clock().snapshots(tmp_path, origin_of(tmp_path))
        async with client_of(snapshots) as client:
            asked = await client.post(PATH, json={"made_for": "central-b"})
            assert asked.status_code == 202
            url = asked.json()["url"]
            ready(snapshots)
            again = await client.post(PATH, json={"made_for": "central-b"})
            assert (again.status_code, again.json()["state"]) == (200, "ready")
            assert again.json()["url"] == url
            manifest = decode_manifest((await client.get(f"{url}/manifest")).content)
            assert (manifest.id, manifest.made_for) == (asked.json()["id"], "central-b")
            assert manifest.positions[0].topic == "flows"
            for file in manifest.files:
                whole = await client.get(f"{url}/files/{file.name}")
                assert hashlib.sha256(whole.content).hexdigest() == file.sha256
                assert whole.headers["etag"] == f'"{file.sha256}"'
            largest = max(manifest.files, key=lambda file: file.size_bytes)
            rest = await client.get(
                f"{url}/files/{largest.name}",
                headers={"Range": "bytes=100-", "If-Range": f'"{largest.sha256}"'},
            )
            assert rest.status_code == 206
            assert len(rest.content) == largest.size_bytes - 100
            other = await client.get(
                f"{url}/files/{largest.name}",
                headers={"Range": "bytes=100-", "If-Range": '"another"'},
            )
            assert (other.status_code, len(other.content)) == (200, largest.size_bytes)
            assert (await client.delete(url)).status_code == 204
            assert (await client.get(url)).status_code == 404
            assert (await client.get(f"{url}/manifest")).status_code == 404
        snapshots.close()
    assert not names_in(tmp_path / "snapshots")
    assert not shadows(tmp_path)


async def test_every_route_needs_the_token(tmp_path: Path) -> None:
    with fed(tmp_path):
        snapshots = Clock().snapshots(tmp_path, origin_of(tmp_path))
        snapshot_id = ready(snapshots)
        app = app_of(snapshots)
        paths = {
            (method.upper(), path)
            for path, operations in app.openapi()["paths"].items()
            for method in operations
        }
        assert len(paths) == 6
        transport = httpx.ASGITransport(app)
        for headers in ({}, {"Authorization": "Bearer another"}):
            async with httpx.AsyncClient(transport=transport, base_url="http://c") as client:
                for method, path in sorted(paths):
                    url = path.format(snapshot_id=snapshot_id, name="metadata.db")
                    answer = await client.request(
                        method, url, json={"made_for": "x"}, headers=headers
                    )
                    assert answer.status_code == 401, (method, path)
        snapshots.close()


@pytest.mark.parametrize(
    "name",
    [
        "../token",
        "..%2f..%2ftoken",
        "store/../../token",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "manifest.json",
        "store",
        "",
        "metadata.db%00",
    ],
)
async def test_only_names_of_the_manifest_lead_to_a_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with fed(tmp_path):
        snapshots = Clock().snapshots(tmp_path, origin_of(tmp_path))
        snapshot_id = ready(snapshots)
        async with client_of(snapshots) as client:
            answer = await client.get(f"{PATH}/{snapshot_id}/files/{name}")
            assert answer.status_code == 404
            assert (await client.get(f"{PATH}/../{name}/manifest")).status_code == 404
        snapshots.close()


async def test_there_are_few_and_each_has_its_day(tmp_path: Path) -> None:
    clock = Clock()
    with fed(tmp_path):
        snapshots = clock.snapshots(tmp_path, origin_of(tmp_path))
        kept = [ready(snapshots, f"central-{number}") for number in range(KEPT_MAX)]
        async with client_of(snapshots) as client:
            refused = await client.post(PATH, json={"made_for": "one-more"})
            assert refused.status_code == 409
            assert "release one of them first" in refused.json()["detail"]
            # A standby asks again.
            assert refused.headers["retry-after"] == "60"
            clock.now_ms += KEPT_MS
            snapshots.expire()
            assert len((await client.get(PATH)).json()["rows"]) == len(kept)
            clock.now_ms += 1
            snapshots.expire()
            assert (await client.get(PATH)).json() == {"rows": []}
        snapshots.close()
    assert not names_in(tmp_path / "snapshots")


def test_a_short_disk_takes_snapshots_before_it_stops_inserts(tmp_path: Path) -> None:
    clock = Clock()
    with fed(tmp_path):
        snapshots = clock.snapshots(tmp_path, origin_of(tmp_path))
        ready(snapshots)
        clock.free_bytes = 1 << 20
        snapshots.expire()
        assert snapshots.all() == []
        with pytest.raises(SnapshotNotNow, match="of free disk"):
            snapshots.ask("central-b")
        snapshots.close()


def test_a_ready_snapshot_outlives_the_process_and_half_a_one_does_not(tmp_path: Path) -> None:
    clock = Clock()
    with fed(tmp_path):
        snapshots = clock.snapshots(tmp_path, origin_of(tmp_path))
        snapshot_id = ready(snapshots)
        snapshots.close()
    # What a kill before the manifest leaves: a folder, frozen parts.
    (tmp_path / "snapshots" / "00000000000000ff" / "store").mkdir(parents=True)
    (tmp_path / "store" / "shadow" / "snapshot_00000000000000ff").mkdir(parents=True)
    with fed(tmp_path):
        snapshots = clock.snapshots(tmp_path, origin_of(tmp_path))
        assert [kept.id for kept in snapshots.all()] == [snapshot_id]
        path, file = snapshots.file(snapshot_id, "metadata.db")
        assert path.stat().st_size == file.size_bytes
        snapshots.close()
    assert [path.name for path in (tmp_path / "snapshots").iterdir()] == [snapshot_id]
    assert not shadows(tmp_path)


async def test_one_released_while_it_is_made_leaves_nothing(tmp_path: Path) -> None:
    with fed(tmp_path) as applier:
        read(applier, a_log()[:8])
        snapshots = Clock().snapshots(tmp_path, origin_of(tmp_path))
        kept, _ = snapshots.ask("central-b")
        snapshots.release(kept.id)
        ready(snapshots, "central-c")
        assert len(list((tmp_path / "snapshots").iterdir())) == 1
        snapshots.close()
    assert not shadows(tmp_path)


async def test_one_that_fails_says_why_and_is_replaced(tmp_path: Path) -> None:
    with fed(tmp_path):
        origin = origin_of(tmp_path)
        (tmp_path / "other.db").write_text("no database at all, and long enough to look like none")
        broken = Origin(store=origin.store, metadata=tmp_path / "other.db")
        snapshots = Clock().snapshots(tmp_path, broken)
        kept, _ = snapshots.ask("central-b")
        wait_until(lambda: kept.state is State.FAILED, "it failed", every_s=0.01)
        async with client_of(snapshots) as client:
            row = (await client.get(f"{PATH}/{kept.id}")).json()
            assert row["why"].startswith("metadata: file is not a database")
            assert (await client.get(f"{PATH}/{kept.id}/manifest")).status_code == 409
            again = await client.post(PATH, json={"made_for": "central-b"})
            assert (again.status_code, again.json()["id"] != kept.id) == (202, True)
        snapshots.close()


async def test_with_a_server_by_url_its_own_backup_is_named(tmp_path: Path) -> None:
    snapshots = Clock().snapshots(tmp_path, None)
    async with client_of(snapshots) as client:
        refused = await client.post(PATH, json={"made_for": "central-b"})
        assert refused.status_code == 409
        assert "make that server's own backup" in refused.json()["detail"]
        assert "retry-after" not in refused.headers
    snapshots.close()


async def test_a_snapshot_holds_no_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(TOKEN)
    with fed(tmp_path) as applier:
        read(applier, a_log()[:8])
        snapshots = Clock().snapshots(tmp_path, origin_of(tmp_path))
        snapshot_id = ready(snapshots)
        folder = tmp_path / "snapshots" / snapshot_id
        for name in names_in(folder):
            assert TOKEN.encode() not in (folder / name).read_bytes(), name
        assert {name.split("/")[0] for name in names_in(folder)} <= {
            "manifest.json",
            "metadata.db",
            "store",
        }
        snapshots.close()


def test_what_is_kept_and_what_went_is_counted(tmp_path: Path) -> None:
    clock = Clock()
    released = Released(clock)
    with fed(tmp_path) as applier:
        read(applier, a_log()[:5])
        snapshots = clock.snapshots(tmp_path, origin_of(tmp_path), released.whys.append)
        assert released.told(snapshots) == {
            "x_snapshots": 0, "x_snapshot_bytes": 0, "x_snapshot_oldest_age_seconds": 0,
        }  # fmt: skip
        ready(snapshots, "central-c")
        clock.now_ms += 60_000
        held = snapshots.get(ready(snapshots, "central-d")).total_bytes
        told = released.told(snapshots)
        assert (told["x_snapshots"], told["x_snapshot_oldest_age_seconds"]) == (2, 60)
        assert told["x_snapshot_bytes"] >= 2 * held * 0.9 > 0

        snapshots.release_all_of("central-c")
        assert [kept.made_for for kept in snapshots.all()] == ["central-d"]
        clock.now_ms += KEPT_MS + 1
        snapshots.expire()
        snapshots.close()
    assert (snapshots.all(), released.whys) == ([], ["asked", "a day"])
