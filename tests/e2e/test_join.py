"""One line on another machine, and it is a proven hot standby or a collector; nothing stops."""

import json
import os
import socket
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from playwright.sync_api import Browser, expect

from cli.ports import free_port, free_udp_port
from cli.status import gather
from shared.plain_http import PLAIN_HTTP
from shared.token import read_token
from tests.e2e.failover_page import FailoverPage
from tests.faults.opened import check_opened
from tests.faults.system import ROOT, STEADFLOW, SUMS, System, running, sums_of, traffic
from tests.pages.browser import browsing, chromium_running, log_in
from tests.pages.site import settled
from tests.stopping import frozen
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.slow]
expect.set_options(timeout=120_000)

NAME = "central-c"
DEADLINE_S = 300


@dataclass(frozen=True)
class Standing:
    """Who is the primary, every claim and handover by its offset, and the pids by role."""

    epoch: int
    primary: str
    paused: bool
    moves: tuple[int, ...]
    pids: dict[str, list[int]]


def standing(system: System) -> Standing:
    home = ("--home", str(system.home), "--json")
    said = json.loads(system.run("cluster", *home).stdout)
    done = json.loads(system.run("history", *home).stdout)
    moves = [each["offset"] for each in done["entries"] if each["is"] in ("claim", "handover")]
    pids = system.processes()
    return Standing(said["epoch"], said["primary"], said["paused"], tuple(moves), pids)


@dataclass
class Site:
    """A running system that was opened to others, and how one joins it.

    before, after: how it stood when it was opened.
    """

    system: System
    sending: "subprocess.Popen[str]"
    before: Standing
    after: Standing
    https_port: int
    kafka_ports: set[int]
    """Of every broker, by TLS."""
    folder: Path
    browser: Browser
    password: str

    @property
    def authorized(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {read_token(self.system.home / 'token')}"}

    @contextmanager
    def failover_page(self) -> Iterator[FailoverPage]:
        """The page of the primary, which is on the first machine; logged in."""
        wait_until(lambda: self.acting_url() is not None, "one acts", DEADLINE_S)
        url = self.acting_url()
        assert url is not None
        permissions = ["clipboard-read", "clipboard-write"]
        with browsing(self.browser, url, permissions=permissions) as (page, _):
            log_in(page, self.password, "/failover")
            yield FailoverPage(page)

    def invite(self, role: str = "standby") -> dict[str, Any]:
        words = (role, "invite", "--home", str(self.system.home), "--json")
        made: dict[str, Any] = json.loads(self.system.run(*words).stdout)
        return made

    def totals(self, urls: Iterable[str]) -> list[dict[str, int] | None]:
        return [sums_of(get(f"{url}/api/v1/totals")) for url in urls]

    def words(self, made: dict[str, Any], home: Path) -> list[str]:
        """Return the line as it was printed, with what only a test needs."""
        _steadflow, *words = made["line"].split()
        kafka_port = free_port(row=3)
        self.kafka_ports.add(kafka_port)
        return [
            *words, "--home", str(home), "--name", NAME, "--host", "localhost",
            "--https-port", str(free_port()), "--kafka-port", str(kafka_port),
            "--web-port", "0", "--detach",
        ]  # fmt: skip

    def join(self, made: dict[str, Any], home: Path) -> subprocess.CompletedProcess[str]:
        return self.system.run(*self.words(made, home), check=False)

    @property
    def system_url(self) -> str:
        """Where central-a answers on its own machine."""
        return {each["name"]: str(each["url"]) for each in self.system.status()["centrals"]}[
            "central-a"
        ]

    def acting_url(self) -> str | None:
        """Where the central of the first machine answers that may change anything; None without."""
        for each in self.system.status()["centrals"]:
            told = self.system.ask(each["name"], "/api/v1/cluster")
            if told and told["acts"] and told["primary"] == each["name"]:
                return str(each["url"])
        return None

    def urls(self, home: Path) -> dict[str, str]:
        found = [*self.system.status()["centrals"], *gather(home)["centrals"]]
        return {each["name"]: each["url"] for each in found}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("join")
    https_port, kafka_port = free_port(row=2), free_port(row=2)
    with (
        running(folder / "one") as system,
        traffic(system, "--rate", "300", "--duration", "0") as sending,
        chromium_running() as browser,
    ):
        made = system.run("user", "password", "--random", "--home", str(system.home))
        password = made.stdout.strip()
        wait_until(lambda: system.status()["primary"] is not None, "a primary", DEADLINE_S)
        before = standing(system)
        site = Site(
            system, sending, before, before, https_port, {kafka_port}, folder, browser, password
        )
        with site.failover_page() as page:
            page.enable(https_port=https_port, kafka_port=kafka_port)
        site.after = standing(system)
        yield site


@dataclass
class Joining:
    """The line of an invite as it runs on another machine."""

    made: dict[str, Any]
    home: Path
    process: "subprocess.Popen[str]"


@pytest.fixture(scope="module")
def joining(site: Site) -> Iterator[Joining]:
    """A join that began while flows arrived: it waits for the end of its copy's minute."""
    with site.failover_page() as page:
        line = page.invited("Add hot standby…", "Invite a standby", "standby")
        page.page.get_by_role("button", name="Copy").last.click()
        assert page.page.evaluate("navigator.clipboard.readText()") == line
    made, home = {"line": line, "token": line.split()[-1]}, site.folder / "two"
    process = subprocess.Popen(
        [*STEADFLOW, *site.words(made, home)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Joining(made, home, process)
    finally:
        site.system.run("down", "--home", str(home), check=False)
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def standby(site: Site, joining: Joining) -> Path:
    """The home of a machine that joined."""
    said, _ = joining.process.communicate(timeout=DEADLINE_S)
    assert joining.process.returncode == 0, said
    # What admitted one machine admits no other, and the token is nowhere any more.
    other = site.join(joining.made, site.folder / "three")
    assert (other.returncode, "used already" in other.stderr) == (1, True), other.stderr
    token = joining.made["token"].encode()
    assert not [path for path in files_below(joining.home) if token in content(path)]
    return joining.home


def get(url: str, site: Site | None = None) -> Any:
    """Return a JSON answer; None without one, or when it is no. site: with its token."""
    headers = {} if site is None else site.authorized
    try:
        answer = httpx.get(url, headers=headers, timeout=10, trust_env=False, verify=PLAIN_HTTP)
    except httpx.HTTPError:
        return None
    return answer.json() if answer.is_success else None


def files_below(folder: Path) -> list[Path]:
    """Return all files; Kafka and the stores remove some meanwhile."""
    return [Path(at, name) for at, _, names in os.walk(folder) for name in names]


def content(path: Path) -> bytes:
    try:
        return path.read_bytes() if path.is_file() else b""
    except FileNotFoundError:
        return b""


def of_another(token: str) -> str:
    """Return a token with another fingerprint."""
    return token[:-1] + ("0" if token[-1] != "0" else "1")


def test_enabled_under_load_only_the_broker_is_restarted_and_roles_stay(site: Site) -> None:
    (kafka_port,) = site.kafka_ports
    check_opened(site.system, site.https_port, kafka_port)
    assert (site.system.home / "tls" / "ca.key").stat().st_mode & 0o777 == 0o600
    broker = {"broker": site.after.pids["broker"]}
    assert site.before.pids["broker"] != broker["broker"]
    assert replace(site.before, pids=site.before.pids | broker) == site.after


def test_a_page_by_https_gets_its_numbers(site: Site) -> None:
    url = f"https://127.0.0.1:{site.https_port}"
    with browsing(site.browser, url, ignore_https_errors=True) as (page, watch):
        log_in(page, site.password)
        settled(page, watch)


def test_an_invite_is_taken_back_on_the_page(site: Site) -> None:
    with site.failover_page() as page:
        page.invited("Add collector…", "Add a collector", "collector")
        expect(page.invites).to_have_count(1)
        page.ask("Take back…", "Take back")
        expect(page.invites).to_have_count(0)


def test_the_page_shows_how_a_machine_joins(site: Site, joining: Joining) -> None:
    with site.failover_page() as page:
        machine = page.machine(NAME)
        expect(machine.get_by_label(f"Checks of {NAME}")).to_contain_text("reach from the primary")
        page.ask("Show invites…", "Show invites")
        expect(page.invites.filter(has_text=f"used by {NAME}")).to_have_count(1)


@pytest.mark.parametrize(
    ("role", "change", "why"),
    [
        ("standby", of_another, "fingerprint"),
        ("collector", lambda token: token.replace(".", ".ff", 1)[: len(token)], "not whole"),
    ],
    ids=["another fingerprint", "half a token, a collector"],
)
def test_a_wrong_token_is_refused_in_a_sentence(
    site: Site, joining: Joining, role: str, change: Any, why: str, tmp_path: Path
) -> None:
    made, home = site.invite(role), tmp_path / "four"
    line = made["line"].replace(made["token"], change(made["token"]))

    if role == "standby":
        said = site.join({"line": line}, home).stderr
    else:
        said = Collector(site, home, free_udp_port("127.0.0.1"), free_port()).try_to_join(line)

    assert why in said
    assert not {"token", "tls/node.pem", "given.json"} & files_of(home)


def test_a_machine_joins_and_holds_what_the_others_hold(site: Site, standby: Path) -> None:
    urls = site.urls(standby)
    proof = get(f"{urls[NAME]}/api/v1/proof")
    assert proof["differences_total"] == 0
    assert any(each["last_proven_minute"] for each in proof["proven"])

    site.sending.terminate()
    sent = json.loads(site.sending.communicate(timeout=60)[0])
    wanted = {name: sent[name] for name in SUMS}

    wait_until(
        lambda: all(each == wanted for each in site.totals(urls.values())),
        "all three count what was sent",
        DEADLINE_S,
    )


def test_on_the_page_the_role_is_handed_to_it_and_a_drill_is_run(site: Site, standby: Path) -> None:
    with site.failover_page() as page:
        expect(page.machine(NAME)).to_contain_text("hot standby")
        page.switch_over(NAME)
        expect(page.page.get_by_label("Failover now").locator("dd").first).to_have_text(NAME)
        # Chosen it does not act yet, and until somebody does no drill begins.
        url = site.urls(standby)[NAME]
        wait_until(lambda: get(f"{url}/primary") is not None, "it acts", DEADLINE_S)
        number = page.drilled()
        expect(page.page.get_by_role("heading", level=1)).to_have_text("Failover drill: PASSED")
        expect(page.page.locator("td.bad")).to_have_count(0)

    told = get(f"{site.urls(standby)[NAME]}/api/v1/drills/{number}")
    assert (told["verdict"], told["records_lost"], told["from"]) == ("passed", 0, NAME), told


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
        headers=site.authorized,
        timeout=60,
        trust_env=False,
    )
    assert answer.status_code == 200, answer.text


def test_it_says_how_it_is_there_and_on_the_primary(site: Site, standby: Path) -> None:
    done = site.system.run("standby", "check", "--home", str(standby), "--json", check=False)
    lines = {each["check"]: each["light"] for each in json.loads(done.stdout)["lines"]}
    assert done.returncode == ("red" in lines.values())
    assert (lines["release"], lines["reach from the primary"]) == ("green", "green")

    (agent,) = gather(standby)["agents"]
    assert (agent["join"]["phase"], len(agent["join"]["lines"])) == ("standby", len(lines))

    def told() -> bool:
        rows = (get(f"{url}/api/v1/join/progress", site) for url in site.urls(standby).values())
        return all(each and [row["phase"] for row in each["rows"]] == ["standby"] for each in rows)

    wait_until(told, "every central tells what the machine reported to the primary", DEADLINE_S)


def test_where_nothing_differs_nothing_is_mended_on_any_machine(site: Site, standby: Path) -> None:
    for words in (("--home", str(standby)), ("--primary", "--home", str(site.system.home))):
        done = site.system.run("standby", "repair", *words, check=False)
        assert (done.returncode, done.stderr) == (1, "nothing differs\n")


def test_nobody_joins_under_a_name_that_is_anothers(
    site: Site, standby: Path, tmp_path: Path
) -> None:
    name, made = "central-b", site.invite()
    _steadflow, _role, _join, primary, *token = made["line"].split()
    asked = ["standby", "check", primary, *token, "--name", name, "--home", str(tmp_path), "--json"]

    lines = json.loads(site.system.run(*asked, check=False).stdout)["lines"]
    assert {each["check"]: each["light"] for each in lines}["name"] == "red"
    words = [*site.words(made, tmp_path / "eight"), "--name", name]
    refused = site.system.run(*words, check=False)
    assert (refused.returncode, f"{name} runs already" in refused.stderr) == (1, True)

    rows = get(f"{site.system_url}/api/v1/audit", site)["rows"]
    by_invite = {(each["facts"], each["status"]) for each in rows if each["by"][:7] == "invite "}
    assert {(f"name={NAME} joins_as=standby", 200)} <= by_invite


@dataclass
class Collector:
    """A collector's machine: how its line is run there."""

    site: Site
    home: Path
    udp_port: int
    web_port: int

    def words(self, line: str) -> list[str]:
        _steadflow, *words = line.split()
        return [
            *words, "--home", str(self.home), "--name", "collector-2", "--udp-host", "127.0.0.1",
            "--udp-port", str(self.udp_port), "--web-port", str(self.web_port),
        ]  # fmt: skip

    def try_to_join(self, line: str) -> str:
        """Return why it may not."""
        done = self.site.system.run(*self.words(line), "--detach", check=False)
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr

    def send(self) -> dict[str, int]:
        """Send invented flows to it, and return their sums."""
        words = ["--to", f"127.0.0.1:{self.udp_port}", "--rate", "300", "--duration", "3", "--json"]
        told = json.loads(self.site.system.run("traffic", *words).stdout)
        return {name: int(told[name]) for name in SUMS}

    def processes(self) -> list[psutil.Process]:
        (found,) = gather(self.home)["collectors"]
        return [psutil.Process(pid) for pid in (gather(self.home)["pid"], *found["pids"])]


@pytest.fixture(scope="module")
def collector(site: Site, standby: Path) -> Iterator[Collector]:
    found = Collector(site, site.folder / "five", free_udp_port("127.0.0.1"), free_port())
    try:
        yield found
    finally:
        site.system.run("down", "--home", str(found.home), check=False)


def test_a_collector_joins_and_all_count_what_it_receives(
    site: Site, standby: Path, collector: Collector
) -> None:
    urls = site.urls(standby)
    (before, *others) = site.totals(urls.values())
    assert before is not None
    assert others == [before, before]

    # Whoever is the primary admits it: by now the second machine.
    invited = site.invite("standby"), site.invite("collector")
    assert "invites a standby, not a collector" in collector.try_to_join(
        invited[0]["line"].replace("standby join", "collector join")
    )
    assert files_of(collector.home) <= {"lock", "logs/up.log"}
    line = invited[1]["line"]
    as_standby = site.join(
        {"line": line.replace("collector join", "standby join")}, site.folder / "six"
    )
    assert "invites a collector, not a standby" in as_standby.stderr
    assert not {"token", "tls/ca.key", "tls/node.pem"} & files_of(site.folder / "six")

    running = subprocess.Popen(
        [*STEADFLOW, *collector.words(line)], cwd=ROOT, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(lambda: is_ready(collector.home), "it collects", DEADLINE_S)
        assert running.poll() is None
        secret = invited[1]["token"].encode()
        for each in collector.processes():
            assert secret.decode() not in " ".join([*each.cmdline(), *each.environ().values()])
        assert not [path for path in files_below(site.folder) if secret in content(path)]
        assert not {"token", "invite", "tls/ca.key"} & files_of(collector.home)
        # Nothing but Kafka's TLS is spoken to.
        ends = {
            connection.raddr.port
            for each in collector.processes()
            for connection in each.net_connections("tcp")
            if connection.status == psutil.CONN_ESTABLISHED
            and collector.web_port not in (connection.laddr.port, connection.raddr.port)
        }
        assert ends
        assert ends <= site.kafka_ports
        elsewhere = Collector(site, site.folder / "seven", free_udp_port("127.0.0.1"), free_port())
        assert "used already" in elsewhere.try_to_join(line)
        assert files_of(elsewhere.home) <= {"lock", "logs/up.log"}
        sent = collector.send()
    finally:
        site.system.run("down", "--home", str(collector.home))
        assert running.wait(timeout=DEADLINE_S) == 0

    # Without a token, and while Kafka stands still, it goes on: what comes waits in its spool.
    (broker,) = site.system.processes()["broker"]
    with frozen([broker]):
        again = line.partition(" --token")[0]
        site.system.run(*collector.words(again), "--detach")
        (told,) = gather(collector.home)["collectors"]
        assert (told["ready"], told["primary"]["node"]) == (False, NAME)
        meanwhile = collector.send()
    wanted = {name: before[name] + sent[name] + meanwhile[name] for name in SUMS}
    wait_until(
        lambda: all(each == wanted for each in site.totals(urls.values())),
        "all three count what the collector received",
        DEADLINE_S,
    )


def is_ready(home: Path) -> bool:
    facts = gather(home)
    return bool(facts["running"]) and all(each["ready"] for each in facts["collectors"])


def files_of(home: Path) -> set[str]:
    return {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()}


def test_at_the_end_it_leaves_and_what_was_opened_is_closed(site: Site, standby: Path) -> None:
    home, run = str(site.system.home), site.system.run

    def view() -> dict[str, Any]:
        told: dict[str, Any] = json.loads(run("cluster", "--home", home, "--json").stdout)
        return told

    def hand_over(to: str) -> None:
        # Right after its broker was away a machine may be behind, and a handover is taken back.
        wait_until(
            lambda: (
                view()["primary"] == to
                or run("switchover", to, "--home", home, check=False).returncode == 0
            ),
            f"{to} takes the role",
            DEADLINE_S,
        )

    hand_over(NAME)
    primary = run("standby", "leave", "--home", str(standby), check=False)
    assert (primary.returncode, "switch over first" in primary.stderr) == (1, True), primary.stderr
    first = run("standby", "leave", "--home", home, check=False)
    assert (first.returncode, "cannot leave" in first.stderr) == (1, True), first.stderr
    opened = run("standby", "disable", "--home", home, check=False)
    assert (opened.returncode, NAME in opened.stderr) == (1, True), opened.stderr
    hand_over("central-a")
    heard = run("standby", "remove", NAME, "--home", home, check=False)
    assert (heard.returncode, "standby leave" in heard.stderr) == (1, True), heard.stderr

    run("standby", "leave", "--remove-data", "--home", str(standby))

    assert {each["name"] for each in view()["nodes"]} == {"central-a", "central-b"}
    assert not standby.exists()
    invites = get(f"{site.system_url}/api/v1/invites", site)
    assert NAME not in {each["used_by"] for each in invites["rows"]}
    # The collector of the tests before would be cut off.
    run("standby", "disable", "--force", "--home", home)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", site.https_port), timeout=10)
    centrals = [each["url"] for each in site.system.status()["centrals"]]

    def one_acts() -> bool:
        return [get(f"{url}/primary") is not None for url in centrals].count(True) == 1

    # Both began again.
    wait_until(one_acts, "one of the first machine acts", DEADLINE_S)
