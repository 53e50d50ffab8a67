"""From a central under load to a restored one, over HTTP that breaks off again and again."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from services.central.snapshot.restore import RESTORE, restore_if_asked
from services.standby.download import download
from services.standby.pace import Progress
from services.standby.primary import Options, Refused, ask, release
from shared.http import http_server, listen
from shared.snapshot_folder import is_complete
from tests.central.centrals import authorized
from tests.central.snapshots import fed, origin_of, read, sums_of
from tests.central.snapshots_at_every_step import a_log
from tests.central.test_snapshot_api import Clock, app_of, shadows
from tests.standby.breaking_proxy import BreakingProxy

MANY = (
    "INSERT INTO flows (received_at, stream, datagram, bytes, src_addr) "
    "SELECT toDateTime64('2023-11-14 00:00:00', 3, 'UTC'), 99, number, rand64(), "
    "toIPv6(toString(toIPv4(rand()))) FROM numbers(60000)"
)


@contextlib.asynccontextmanager
async def served(data_dir: Path) -> AsyncIterator[int]:
    """Serve the snapshots of `data_dir` over HTTP; yield the port."""
    snapshots = Clock().snapshots(data_dir, origin_of(data_dir))
    listener = listen("127.0.0.1", 0)
    server = http_server(app_of(snapshots), stop_s=1)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await serving
        listener.close()
        await asyncio.to_thread(snapshots.close)


async def test_a_standby_is_made_over_http_that_breaks_off(tmp_path: Path) -> None:
    log, primary, standby = a_log(), tmp_path / "a", tmp_path / "b"
    folder, seen = standby / RESTORE, list[Progress]()

    class Killed(Exception):
        pass

    def dies_half_way(progress: Progress) -> None:
        if progress.phase == "download" and progress.done_bytes * 2 > progress.total_bytes:
            raise Killed

    with fed(primary) as applier:
        applier._store._work.command(MANY)  # type: ignore[attr-defined]  # a FlowStore
        read(applier, log[:50])
        async with served(primary) as port:
            proxy = BreakingProxy(port, after_bytes=150_000, breaks=6)
            async with proxy.running():
                url = f"http://127.0.0.1:{proxy.port}"
                async with httpx.AsyncClient(
                    base_url=url, headers=authorized(), timeout=30, trust_env=False
                ) as client:
                    options = Options(now_s=time.monotonic, on_progress=dies_half_way)
                    path = (await ask(client, made_for="central-b", options=options)).url
                    # The primary goes on, and its parts are merged away meanwhile.
                    read(applier, log)
                    applier._store._work.command("OPTIMIZE TABLE flows FINAL")  # type: ignore[attr-defined]  # a FlowStore
                    with pytest.raises(Killed):
                        await download(client, path, folder, options=options)
                    assert not is_complete(folder)
                    options = Options(now_s=time.monotonic, on_progress=seen.append)
                    again = await ask(client, made_for="central-b", options=options)
                    assert again.url == path
                    manifest = await download(client, path, folder, options=options)
                    await release(client, path, options=options)
                    with pytest.raises(Refused):
                        await download(client, path, tmp_path / "again", options=options)
        expected = sums_of(applier._store)  # type: ignore[arg-type]  # a FlowStore
    assert proxy.broken >= 6
    assert 0 < seen[0].done_bytes < manifest.total_bytes == seen[-1].done_bytes
    assert not shadows(primary)
    assert restore_if_asked(standby, origin_of(standby))
    with fed(standby) as applier:
        read(applier, log)
        assert sums_of(applier._store) == expected  # type: ignore[arg-type]  # a FlowStore
