"""This release at `/download`: the same wheel as the build tool makes, by names in a list alone."""

import asyncio
import csv
import hashlib
import io
import os
import subprocess
import sys
import zipfile
from collections.abc import MutableMapping
from email.message import Message
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from packaging.requirements import Requirement
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from services.central.download.api import OneOfFew, Slots, download_router
from services.central.download.downloads import Downloads
from services.central.download.own_files import LOCKS, ROOT, own_release, write
from services.central.download.wheel import Release, Wheel, build
from services.central.join.invites import JoinsAs
from services.central.problems import add_problems
from shared.release import RELEASE

URL = "https://flows.example:8443"
SMALL = Release(
    RELEASE, {"cli/a.py": b"A = 1\n"}, {"METADATA": b"Name: steadflow\n"}, {"cli.txt": b"# lock\n"}
)
WHEEL = f"steadflow-{RELEASE}-py3-none-any.whl"


@pytest.fixture(scope="module")
def wheel() -> Wheel:
    release = own_release()
    assert release is not None
    return build(release)


@pytest.fixture(scope="module")
def by_the_tool(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "-d", str(folder)],
        cwd=ROOT, check=True, capture_output=True,
    )  # fmt: skip
    (found,) = folder.glob("*.whl")
    return found


def contents(of: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(of)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def metadata(files: dict[str, bytes]) -> Message:
    (text,) = (files[name] for name in files if name.endswith(".dist-info/METADATA"))
    return BytesParser().parsebytes(text)


def test_it_is_the_wheel_that_the_build_tool_makes(wheel: Wheel, by_the_tool: Path) -> None:
    ours, theirs = contents(wheel.content), contents(by_the_tool.read_bytes())

    assert (wheel.name, ours.keys()) == (by_the_tool.name, theirs.keys())
    own_words = ("METADATA", "WHEEL", "RECORD")
    for name, content in theirs.items():
        if not name.endswith(own_words):
            assert ours[name] == content, name
    about, told = metadata(ours), metadata(theirs)
    for header in set(about) | set(told):
        if header not in ("Requires-Dist", "Metadata-Version"):
            assert sorted(about.get_all(header, [])) == sorted(told.get_all(header, [])), header
    needs, needed = (
        {str(Requirement(each)) for each in of.get_all("Requires-Dist", [])} for of in (about, told)
    )
    assert needs == needed
    assert about.get_payload() == told.get_payload()


def test_its_record_names_the_hash_of_every_file(wheel: Wheel) -> None:
    files = contents(wheel.content)
    (record,) = (name for name in files if name.endswith("/RECORD"))
    rows = {row[0]: row[2] for row in csv.reader(files[record].decode().splitlines())}

    assert rows == {n: "" if n == record else str(len(c)) for n, c in files.items()}


def test_the_same_files_make_the_same_bytes() -> None:
    assert build(SMALL) == build(SMALL)
    assert build(SMALL) != build(SMALL._replace(code={"cli/a.py": b"A = 2\n"}))


def test_installed_elsewhere_it_serves_itself_to_the_byte(tmp_path: Path, wheel: Wheel) -> None:
    site, base = tmp_path / "site", f"steadflow-{RELEASE}"
    for name, content in contents(wheel.content).items():
        path = tmp_path / name.partition(".data/data/")[2] if ".data/" in name else site / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    # As installers note it, with a file of their own.
    (site / f"{base}.dist-info" / "INSTALLER").write_text("somebody")
    record = site / f"{base}.dist-info" / "RECORD"
    rows = record.read_text().replace(f"{base}.data/data/", "../")
    record.write_text(f"{rows}{base}.dist-info/INSTALLER,,\n")

    made = subprocess.run(
        [sys.executable, "-P", "-m", "services.central.download.own_files", str(tmp_path / "to")],
        env=os.environ | {"PYTHONPATH": str(site)}, check=True, capture_output=True,
        cwd=tmp_path, text=True,
    )  # fmt: skip

    assert (tmp_path / "to" / made.stdout.strip()).read_bytes() == wheel.content


def test_what_an_image_holds_is_served_there(tmp_path: Path, wheel: Wheel) -> None:
    write(tmp_path)

    in_image = Downloads(tmp_path, release=lambda: None)

    assert in_image.wheel() == wheel
    assert set(in_image.all()) == {WHEEL, *(f"requirements/{name}" for name in LOCKS)}
    assert Downloads(None, release=lambda: None).install(URL, JoinsAs.STANDBY) == []


def test_the_lines_name_the_hash_and_what_the_role_needs(tmp_path: Path) -> None:
    downloads = Downloads(tmp_path, release=lambda: SMALL)
    sha256 = hashlib.sha256(build(SMALL).content).hexdigest()

    _, get, packages = downloads.install(URL, JoinsAs.COLLECTOR)
    assert f"'{URL}/download/{WHEEL}#sha256={sha256}'" in get
    assert "--trusted-host flows.example:8443" in get
    assert "--require-hashes" in packages
    assert "/ingest.txt" in packages
    assert "--no-index" not in packages
    assert "/central.txt" in downloads.install(URL, JoinsAs.STANDBY)[-1]

    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "numpy-2-py3-none-any.whl").write_bytes(b"numpy")
    packages = downloads.install(URL, JoinsAs.COLLECTOR)[-1]
    assert f"--no-index --find-links {URL}/download" in packages


def served(downloads: Downloads, slots: Slots | None = None) -> httpx.AsyncClient:
    app = FastAPI()
    add_problems(app)
    app.include_router(download_router(downloads, slots))
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url=URL)


async def test_every_file_of_the_list_is_there_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "wheels" / "numpy-2-py3-none-any.whl").write_bytes(b"numpy")
    (tmp_path / "wheels" / "notes.txt").write_text("not to be served")
    (tmp_path / "secret").write_text("not to be served")
    downloads = Downloads(tmp_path, release=lambda: SMALL)

    async with served(downloads) as client:
        listed = (await client.get("/download")).text
        for name, content in downloads.all().items():
            assert f'href="/download/{name}' in listed
            wanted = content.read_bytes() if isinstance(content, Path) else content
            assert (await client.get(f"/download/{name}")).content == wanted
        assert f"{WHEEL}#sha256={hashlib.sha256(build(SMALL).content).hexdigest()}" in listed
        for wrong in (
            "secret", "wheels/notes.txt", "wheels", "../token", "%2e%2e/token", "wheels/../secret",
            "wheels%2F..%2Fsecret", "/etc/passwd",
        ):  # fmt: skip
            answer = await client.get(f"/download/{wrong}")
            assert answer.status_code == 404, wrong
            assert "not to be served" not in answer.text


class Held(Response):
    """An answer that takes until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.begun, self.let_go = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun.set()
        await self.let_go.wait()
        await super().__call__(scope, receive, send)


async def sent(answer: Response) -> int:
    status = 0

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status
        status = message.get("status", status)

    await answer({"type": "http", "method": "GET", "headers": []}, receive, send)
    return status


async def test_few_are_sent_at_once_and_none_for_ever() -> None:
    slots, held = Slots(1), Held()
    first = asyncio.create_task(sent(OneOfFew(slots, held)))
    await held.begun.wait()

    assert await sent(OneOfFew(slots, Response())) == 503
    held.let_go.set()
    assert await first == 200
    assert await sent(OneOfFew(slots, Response())) == 200
    with pytest.raises(TimeoutError):
        await sent(OneOfFew(slots, Held(), longest_s=0.0))
    assert slots.free == 1
