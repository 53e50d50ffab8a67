"""One line on a second machine, and it is a proven hot standby; nothing was stopped for it."""

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from cli.ports import free_port
from cli.status import gather
from shared.token import read_token
from tests.faults.system import System, running, traffic
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

NAME = "central-c"
DEADLINE_S = 300
SUMS = ("flows", "bytes", "packets")


@dataclass
class Site:
    """A running system that was opened to others, and how one joins it."""

    system: System
    sending: "subprocess.Popen[str]"
    https_port: int
    folder: Path

    def invite(self) -> dict[str, Any]:
        words = ("standby", "invite", "--home", str(self.system.home), "--json")
        made: dict[str, Any] = json.loads(self.system.run(*words).stdout)
        return made

    def join(
        self, made: dict[str, Any], home: Path, *more: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the line as it was printed, with what only a test needs."""
        _steadflow, *words = made["line"].split()
        return self.system.run(
            *words, "--home", str(home), "--name", NAME, "--host", "localhost",
            "--https-port", str(free_port()), "--web-port", "0", "--detach", check=False,
        )  # fmt: skip

    def urls(self, home: Path) -> dict[str, str]:
        found = [*self.system.status()["centrals"], *gather(home)["centrals"]]
        return {each["name"]: each["url"] for each in found}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("join")
    https_port = free_port(row=2)
    with (
        running(folder / "one") as system,
        traffic(system, "--rate", "300", "--duration", "0") as sending,
    ):
        system.run(
            "standby", "enable", "--host", "localhost", "--bind", "127.0.0.1",
            "--https-port", str(https_port), "--kafka-port", str(free_port()),
            "--home", str(system.home),
        )  # fmt: skip
        yield Site(system, sending, https_port, folder)


@pytest.fixture(scope="module")
def standby(site: Site) -> Iterator[Path]:
    """The home of a machine that joined while flows arrived."""
    home = site.folder / "two"
    made = site.invite()
    try:
        done = site.join(made, home)
        assert done.returncode == 0, done.stdout + done.stderr
        # What admitted one machine admits no other, and the token is nowhere any more.
        other = site.join(made, site.folder / "three")
        assert (other.returncode, "used already" in other.stderr) == (1, True), other.stderr
        assert not [path for path in home.rglob("*") if made["token"].encode() in content(path)]
        yield home
    finally:
        site.system.run("down", "--home", str(home), check=False)


def get(url: str) -> Any:
    """Return a JSON answer; None without one, or when it is no."""
    try:
        answer = httpx.get(url, timeout=10, trust_env=False)
    except httpx.HTTPError:
        return None
    return answer.json() if answer.is_success else None


def content(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def test_a_machine_joins_and_holds_what_the_others_hold(site: Site, standby: Path) -> None:
    urls = site.urls(standby)
    proof = get(f"{urls[NAME]}/api/v1/proof")
    assert proof["differences_total"] == 0
    assert any(each["last_proven_minute"] for each in proof["proven"])

    site.sending.terminate()
    sent = json.loads(site.sending.communicate(timeout=60)[0])
    wanted = {name: sent[name] for name in SUMS}

    def all_count_it() -> bool:
        answers = [get(f"{url}/api/v1/totals") for url in urls.values()]
        return all(each and {name: each[name] for name in SUMS} == wanted for each in answers)

    wait_until(all_count_it, "all three count what was sent", DEADLINE_S)


def test_it_takes_the_role_over_and_settings_reach_it(site: Site, standby: Path) -> None:
    urls = site.urls(standby)
    home = str(site.system.home)
    handed = json.loads(site.system.run("switchover", NAME, "--home", home, "--json").stdout)
    assert handed["to"] == NAME
    wait_until(lambda: get(f"{urls[NAME]}/primary") is not None, "it acts", DEADLINE_S)

    # Asked of a central on the first machine, passed on by TLS to the second.
    answer = httpx.put(
        f"{urls['central-a']}/api/v1/settings/exporters/192.0.2.9",
        json={"name": "edge"},
        headers={"Authorization": f"Bearer {read_token(site.system.home / 'token')}"},
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda token: token[:-1] + ("0" if token[-1] != "0" else "1"), "fingerprint"),
        (lambda token: token.replace(".", ".ff", 1)[: len(token)], "not whole"),
    ],
    ids=["another fingerprint", "half a token"],
)
def test_a_wrong_token_is_refused_in_a_sentence(
    site: Site, change: Any, why: str, tmp_path: Path
) -> None:
    made = site.invite()
    wrong = {"line": made["line"].replace(made["token"], change(made["token"]))}

    done = site.join(wrong, tmp_path / "four")

    assert done.returncode == 1
    assert why in done.stderr, done.stderr
    assert not (tmp_path / "four" / "token").exists()
