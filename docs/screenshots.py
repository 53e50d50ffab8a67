"""Take the pictures in `docs/screenshots/`: starts a system of its own with invented traffic.

Run as `make screenshots`; `--home HOME` takes them of a system that runs already.
"""

import argparse
import base64
import contextlib
import json
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

from cli.ports import free_port

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "docs" / "screenshots"
CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
MINUTES = 12
TRIES = 3
BYTES_MAX = 1_000_000
LOADED = """() => document.querySelector('#app .sf-top')
  && !document.querySelector('[aria-busy=true]')
  && [...document.querySelectorAll('.sf-canvas')].every((each) => each.querySelector('canvas'))"""
FRESH = "() => document.querySelector('.sf-status.sf-good')"
PIXELS = """async (text) => {
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const canvas = new OffscreenCanvas(image.width, image.height);
  const context = canvas.getContext("2d");
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, image.width, image.height).data;
  let found = "";
  for (let at = 0; at < data.length; at += 32768)
    found += String.fromCharCode(...data.subarray(at, at + 32768));
  return [image.width, image.height, btoa(found)];
}"""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture: path is the address of the page, height that of the window.

    of_primary: taken of the primary, logged in. presses: a button, and the one that confirms it.
    """

    name: str
    path: str
    width: int = 1440
    height: int = 900
    theme: str = "light"
    of_primary: bool = False
    presses: tuple[str, ...] = ()


def pictures(exporter: str, host: str) -> list[Picture]:
    """Return the pictures of a system with this exporter and host."""
    apps = "split=application"
    return [
        Picture("overview", f"/?from=now-15m&{apps}", height=1130),
        Picture("overview-dark", "/?from=now-15m&theme=dark", height=1130, theme="dark"),
        Picture("overview-phone", f"/?from=now-15m&{apps}", width=390, height=844),
        Picture("exporter", f"/exporters/{exporter}?from=now-15m", height=1000),
        Picture("interface", f"/exporters/{exporter}/interfaces/1?from=now-15m", height=1000),
        Picture(
            "failover", "/failover", height=1150, of_primary=True,
            presses=("Show invites…", "Show invites"),
        ),
        Picture("administration", "/administration", height=1000, of_primary=True),
        Picture("host-dark", f"/hosts/{host}?from=now-15m&theme=dark", height=1000, theme="dark"),
    ]  # fmt: skip


def main() -> None:
    """Take all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, help="take them of the system that runs there")
    home: Path | None = parser.parse_args().home
    if home is not None:
        take(home)
        return
    with tempfile.TemporaryDirectory() as folder, _system(Path(folder)) as own:
        print(f"waiting {MINUTES} minutes for traffic to show", file=sys.stderr)  # noqa: T201
        time.sleep(MINUTES * 60)
        # So that the Failover page has something to tell.
        _steadflow("drill", "--home", str(own))
        _steadflow("collector", "invite", "--home", str(own))
        take(own)


def take(home: Path) -> None:
    """Name what exports, then write every picture. Raises SystemExit when they are too large."""
    facts = json.loads((home / "run.json").read_text())
    urls = {str(each["name"]): str(each["url"]) for each in facts["centrals"]}
    # The last one: who looks at the first is not disturbed.
    url = list(urls.values())[-1]
    password = _steadflow("user", "password", "--random", "--home", str(home)).strip()
    with httpx.Client(base_url=f"{url}/api/v1", trust_env=False, timeout=60) as api:
        exporters = _rows(api, "exporters", {"from": "-15m"})
        _name(api, (home / "token").read_text().strip(), exporters)
        hosts = _rows(api, "reports/top", {"from": "-15m", "by": "src_addr", "limit": 1})
        primary = urls[api.get("cluster").json()["primary"]]
    exporter, host = exporters[0]["exporter"], hosts[0]["src_addr"]
    FOLDER.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        for each in pictures(exporter, host):
            of = primary if each.of_primary else url
            (FOLDER / f"{each.name}.png").write_bytes(_shoot(browser, of, each, password))
        browser.close()
    size = sum(file.stat().st_size for file in FOLDER.glob("*.png"))
    print(f"{size:,} bytes in {FOLDER.relative_to(ROOT)}", file=sys.stderr)  # noqa: T201
    if size > BYTES_MAX:
        raise SystemExit(f"the pictures are larger than {BYTES_MAX:,} bytes")


@contextmanager
def _system(folder: Path) -> Iterator[Path]:
    """Three machines on this one: who looks at the Failover page sees what it can show."""
    home, two, three = folder / "one", folder / "two", folder / "three"
    ports = ["--udp-port", "0", "--kafka-port", "0", "--web-port", "0"]
    _steadflow("up", "--home", str(home), "--detach", "--no-browser", *ports)
    try:
        _steadflow(
            "standby", "enable", "--home", str(home), "--host", "localhost", "--bind", "127.0.0.1",
            "--https-port", str(free_port(row=2)), "--kafka-port", str(free_port(row=2)),
        )  # fmt: skip
        https_port = ("--https-port", str(free_port()))
        _join(home, two, "standby", "--name", "central-c", "--force", *https_port)
        _join(home, three, "witness", "--name", "witness-1")
        yield home
    finally:
        for each in (three, two, home):
            _steadflow("down", "--home", str(each), check=False)


def _join(home: Path, joining: Path, role: str, *more: str) -> None:
    line = json.loads(_steadflow(role, "invite", "--home", str(home), "--json"))["line"]
    ports = ("--kafka-port", str(free_port(row=3)), "--bind", "127.0.0.1", "--web-port", "0")
    place = ("--home", str(joining), "--host", "localhost", "--detach")
    _steadflow(*line.split()[1:], *place, *ports, *more)


def _steadflow(*words: str, check: bool = True) -> str:
    command = [sys.executable, "-m", "cli", *words]
    done = subprocess.run(command, check=False, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    if check and done.returncode:
        raise SystemExit(f"steadflow {words[0]} ended with {done.returncode}: {done.stdout}")
    return done.stdout


def _rows(api: httpx.Client, path: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    # Any: JSON.
    answer = api.get(path, params=query)
    answer.raise_for_status()
    rows: list[dict[str, Any]] = answer.json()["rows"]
    return rows


def _name(api: httpx.Client, token: str, exporters: list[dict[str, Any]]) -> None:  # Any: JSON.
    headers = {"Authorization": f"Bearer {token}"}
    sites = ("fra", "ams", "lon", "par", "nyc", "sin")
    for number, row in enumerate(exporters[:12]):
        address = row["exporter"]
        name = f"{'core' if number < 6 else 'edge'}-{sites[number % 6]}-1"
        api.put(f"settings/exporters/{address}", json={"name": name}, headers=headers)
        for index, port in ((1, "et-0/0/0"), (2, "et-0/0/1")):
            body = {"name": port, "speed_bps": 100_000_000}
            api.put(f"settings/interfaces/{address}/{index}", json=body, headers=headers)


def _shoot(browser: Browser, url: str, picture: Picture, password: str) -> bytes:
    context = browser.new_context(
        viewport={"width": picture.width, "height": picture.height},
        color_scheme="dark" if picture.theme == "dark" else "light",
        timezone_id="Europe/Berlin",
        locale="en-GB",
    )
    page = context.new_page()
    if picture.of_primary:
        _log_in(page, url, password)
    for attempt in range(TRIES):
        page.goto(url + picture.path)
        try:
            page.wait_for_function(LOADED, timeout=60_000)
            break
        except PlaywrightError:
            # A network interface that comes or goes has Chromium give up what it was loading.
            if attempt == TRIES - 1:
                raise
    # A busy machine is behind now and then; that is said as well, but belongs into no picture.
    with contextlib.suppress(PlaywrightError):
        page.wait_for_function(FRESH, timeout=60_000)
    for button in picture.presses:
        page.get_by_role("button", name=button, exact=True).click()
    page.wait_for_timeout(1500)
    png = _small(page, page.screenshot())
    context.close()
    return png


def _log_in(page: Page, url: str, password: str) -> None:
    page.goto(f"{url}/login")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.wait_for_url(lambda at: "/login" not in at)


def _small(page: Page, png: bytes) -> bytes:
    """Return `png` with 256 colours: those that are most often there, the rest at the nearest."""
    width, height, text = page.evaluate(PIXELS, base64.b64encode(png).decode())
    flat = np.frombuffer(base64.b64decode(text), np.uint8).reshape(-1, 4)[:, :3].astype(np.int32)
    codes, at, counts = np.unique(
        flat[:, 0] << 16 | flat[:, 1] << 8 | flat[:, 2], return_inverse=True, return_counts=True
    )
    colours = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], axis=1)
    palette = colours[_spread(colours, counts)]
    nearest = np.array([((palette - each) ** 2).sum(axis=1).argmin() for each in colours], np.uint8)
    lines = nearest[at].reshape(height, width)
    raw = np.hstack([np.zeros((height, 1), np.uint8), lines]).tobytes()
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
        (b"PLTE", palette.astype(np.uint8).tobytes()),
        (b"IDAT", zlib.compress(raw, 9)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _spread(colours: np.ndarray[Any, Any], counts: np.ndarray[Any, Any]) -> list[int]:
    """Return up to 256 colours: each time the one that most pixels are farthest from having."""
    distance = np.full(len(colours), 1 << 20, np.int64)
    chosen: list[int] = []
    while len(chosen) < min(256, len(colours)):
        number = int((distance * np.sqrt(counts)).argmax())
        chosen.append(number)
        distance = np.minimum(distance, ((colours - colours[number]) ** 2).sum(axis=1))
    return chosen


def _chunk(kind: bytes, data: bytes) -> bytes:
    crc = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc)


if __name__ == "__main__":
    main()
