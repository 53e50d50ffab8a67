"""A download goes on after any interruption and ends with every byte checked."""

import random
from pathlib import Path

import httpx
import pytest

from services.standby.download import DAMAGED_MAX, download
from services.standby.pace import Meter, Pace
from services.standby.primary import Damaged, Refused, Unreachable, ask, release
from shared.snapshot import SnapshotError
from shared.snapshot_folder import is_complete, read_manifest, verify
from tests.standby.small_primary import MADE_AT_MS, URL, FakeTime, SmallPrimary

_BYTES = random.Random(7).randbytes(300_000)


def some_files() -> dict[str, bytes]:
    return {
        "metadata.db": _BYTES[:5_000],
        "store/flows/20260302_1_1_0/data.bin": _BYTES,
        "store/flows/20260302_1_1_0/empty.txt": b"",
        "store/flows/20260302_1_1_0/datagrams.proj/data.bin": _BYTES[:70_000],
    }


def total(files: dict[str, bytes]) -> int:
    return sum(map(len, files.values()))


async def test_a_download_brings_every_file_and_says_how_far_it_is(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files()), FakeTime()
    async with primary.client() as client:
        manifest = await download(client, URL, tmp_path, options=time.options())
    assert verify(tmp_path) == manifest
    for name, content in primary.files.items():
        assert (tmp_path / name).read_bytes() == content
    last = time.progress[-1]
    assert (last.done_bytes, last.total_bytes) == (total(primary.files), total(primary.files))
    assert (last.done_files, last.total_files) == (4, 4)


async def test_broken_off_again_and_again_it_asks_for_the_rest_only(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files(), breaks_after=50_000, breaks=6), FakeTime()
    async with primary.client() as client:
        await download(client, URL, tmp_path, options=time.options())
    verify(tmp_path)
    assert primary.sent_bytes == total(primary.files)
    assert ("store/flows/20260302_1_1_0/data.bin", "bytes=100000-") in primary.asked
    assert primary.breaks == 0
    assert len(time.slept_s) >= 4


async def test_a_killed_download_is_gone_on_with_by_the_next(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files()), FakeTime()

    class Killed(Exception):
        pass

    def dies() -> None:
        if len(primary.asked) == 3:
            raise Killed

    primary.on_asked = dies
    async with primary.client() as client:
        with pytest.raises(Killed):
            await download(client, URL, tmp_path, options=time.options(at_once=1))
        assert not is_complete(tmp_path)
        with pytest.raises(SnapshotError, match="is not complete"):
            verify(tmp_path)
        done = [name for name, _ in primary.asked[:2]]
        primary.asked.clear()
        await download(client, URL, tmp_path, options=time.options(at_once=1))
    assert not {name for name, _ in primary.asked} & set(done)
    verify(tmp_path)


async def test_a_part_that_grew_too_long_or_wrong_is_fetched_anew(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files()), FakeTime()
    part = tmp_path / "metadata.db.part"
    async with primary.client() as client:
        await download(client, URL, tmp_path, options=time.options())
        for content in (b"x" * 6_000, b"x" * 5_000, b"x" * 100):
            (tmp_path / "metadata.db").unlink()
            part.write_bytes(content)
            await download(client, URL, tmp_path, options=time.options())
            verify(tmp_path)
            assert time.progress[-1].done_bytes == total(primary.files)
    assert not part.exists()


async def test_a_file_damaged_on_every_way_is_named(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files(), damages={"metadata.db"}), FakeTime()
    async with primary.client() as client:
        with pytest.raises(Damaged, match=r"metadata\.db is damaged.*3 times in a row"):
            await download(client, URL, tmp_path, options=time.options())
    assert [name for name, _ in primary.asked].count("metadata.db") == DAMAGED_MAX
    assert not is_complete(tmp_path)


async def test_it_gives_up_in_the_end_and_keeps_what_came(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files(), breaks_after=0, breaks=1000), FakeTime()
    async with primary.client() as client:
        with pytest.raises(Unreachable, match=r"broke off.*4 times in a row"):
            await download(client, URL, tmp_path, options=time.options())
        primary.breaks = 0
        await download(client, URL, tmp_path, options=time.options())
    verify(tmp_path)


async def test_a_refusal_is_said_at_once(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files(), status=401), FakeTime()
    async with primary.client() as client:
        with pytest.raises(Refused, match="no, as told") as refused:
            await download(client, URL, tmp_path, options=time.options())
    assert refused.value.status == 401
    assert not time.slept_s
    primary.status = 503
    async with primary.client() as client:
        with pytest.raises(Unreachable, match="no, as told, 4 times in a row"):
            await download(client, URL, tmp_path, options=time.options())
    assert len(time.slept_s) == 3


async def test_asking_waits_until_the_snapshot_is_made() -> None:
    primary, time = SmallPrimary({}, states=["making", "making", "ready"]), FakeTime()
    async with primary.client() as client:
        asked = await ask(client, made_for="central-b", options=time.options())
        assert asked == (URL, MADE_AT_MS)
        assert [each.phase for each in time.progress] == ["making", "making"]
        primary.states = ["failed"]
        with pytest.raises(Refused, match="could not make a snapshot: a reason") as failed:
            await ask(client, made_for="central-b", options=time.options())
        # Asked again, the primary makes another one.
        assert failed.value.passes
        await release(client, URL, options=time.options())
        primary.status = 404
        await release(client, URL, options=time.options())


async def test_of_an_older_snapshot_what_is_the_same_is_kept(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files()), FakeTime()
    async with primary.client() as client:
        await download(client, URL, tmp_path, options=time.options())
        del primary.files["store/flows/20260302_1_1_0/empty.txt"]
        primary.files["store/flows/20260303_2_2_0/data.bin"] = b"new"
        primary.files["metadata.db"] = b"other"
        primary.asked.clear()
        await download(client, URL, tmp_path, options=time.options())
    assert sorted(name for name, _ in primary.asked) == [
        "metadata.db",
        "store/flows/20260303_2_2_0/data.bin",
    ]
    assert not (tmp_path / "store/flows/20260302_1_1_0/empty.txt").exists()
    assert read_manifest(tmp_path) == verify(tmp_path)


async def test_a_limit_is_kept_over_all_files_together(tmp_path: Path) -> None:
    primary, time = SmallPrimary(some_files()), FakeTime()
    async with primary.client() as client:
        await download(client, URL, tmp_path, options=time.options(limit=10_000))
    assert time.now_s - 100.0 >= total(primary.files) / 10_000 * 0.99
    assert time.progress[-1].rate == pytest.approx(10_000, rel=0.7)


async def test_a_manifest_with_a_name_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        content = SmallPrimary({"metadata.db": b"x"}).manifest.model_dump_json()
        return httpx.Response(200, text=content.replace("metadata.db", "store/../../x"))

    time = FakeTime()
    transport = httpx.MockTransport(answer)
    async with httpx.AsyncClient(transport=transport, base_url="http://primary") as client:
        with pytest.raises(Damaged, match=r"manifest\.json cannot be read: files\.0\.name"):
            await download(client, URL, tmp_path / "restore", options=time.options())
    assert not (tmp_path / "restore").exists()


def test_the_rate_is_that_of_the_last_seconds_and_tells_when_it_ends() -> None:
    meter = Meter(1000)
    rates = [meter.rate(0.0)]
    for second in range(1, 31):
        meter.done_bytes += 10 if second < 15 else 20
        rates.append(meter.rate(float(second)))
    assert (rates[0], rates[10], rates[30]) == (0, 10, 20)


def test_without_a_limit_nobody_waits() -> None:
    assert Pace(None).wait_s(1 << 30, 0.0) == 0.0
    paced = Pace(100)
    assert paced.wait_s(50, 10.0) == pytest.approx(0.5)
    assert paced.wait_s(50, 10.0) == pytest.approx(1.0)
    # What was not used is not made up for.
    assert paced.wait_s(50, 20.0) == pytest.approx(0.5)
