"""A running system whose roles are watched: who acts, who could, and what a person may ask."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from typer.testing import CliRunner

from cli import running as home_of
from cli.__main__ import app
from cli.cluster_client import ClusterClient, urls_of
from tests.faults.system import System, kill, stop_sending, sums_of
from tests.waiting import wait_until

CENTRALS = {"central-a": "central-b", "central-b": "central-a"}
"""Each central and the other one."""
DEADLINE_S = 180
TAKEOVER_S = 30


@dataclass
class Cluster:
    """A running system that counts traffic, asked without waiting for anybody that is frozen."""

    system: System
    sending: "subprocess.Popen[str]"
    client: httpx.Client

    def get(self, url: str) -> Any:
        """Return a JSON answer; None without one, or when it is no."""
        try:
            answer = self.client.get(url)
        except httpx.HTTPError:
            return None
        return answer.json() if answer.status_code == 200 else None

    def view(self) -> dict[str, Any]:
        with ClusterClient(urls_of(self.system.home), timeout_s=2.0) as client:
            return client.view()

    def registry(self, path: str) -> Any:
        """Return the registry's JSON answer, None when it says no."""
        return self.get(self.noted("registries")[0]["url"] + path)

    def ticks(self) -> float | None:
        """Return how many valid ticks there were; None while the registry is away."""
        try:
            page = self.client.get(self.noted("registries")[0]["url"] + "/metrics").text
        except httpx.HTTPError:
            return None
        found = re.search(r"^steadflow_registry_valid_ticks (\S+)", page, re.MULTILINE)
        return None if found is None else float(found[1])

    def wait_ticks(self, count: int) -> None:
        """Return once there were so many more valid ticks: the only time that roles go by."""
        wait_until(lambda: self.ticks() is not None, "the registry answers", DEADLINE_S)
        before = self.ticks() or 0
        wait_until(lambda: (self.ticks() or 0) >= before + count, f"{count} more ticks", DEADLINE_S)

    def noted(self, kind: str) -> list[dict[str, Any]]:
        """Return what the launcher noted: names, URLs, pids."""
        return list((home_of.read(self.system.home) or {})[kind])

    def url(self, central: str) -> str:
        return next(str(each["url"]) for each in self.noted("centrals") if each["name"] == central)

    def pid(self, central: str) -> int | None:
        pids = {each["name"]: each["pid"] for each in self.noted("centrals")}
        return None if pids[central] is None else int(pids[central])

    def acts(self, central: str) -> bool:
        """Whether a central says of itself that it acts."""
        return self.get(self.url(central) + "/primary") is not None

    def primary(self) -> str:
        """Return who acts, once somebody does and the other one could take over."""
        wait_until(
            lambda: any(map(self.acts, CENTRALS)) and self.registry("/standby") is not None,
            "one acts, the other one could",
            DEADLINE_S,
        )
        return next(central for central in CENTRALS if self.acts(central))

    def wait_taken_over(self, central: str) -> dict[str, Any]:
        """Return the view once `central` acts, and collectors know it."""
        wait_until(lambda: self.acts(central), f"{central} acts", TAKEOVER_S)
        wait_until(lambda: self.known_to_collector() == central, "the collector knows", TAKEOVER_S)
        return self.view()

    def known_to_collector(self) -> str | None:
        facts = self.get(self.noted("collectors")[0]["url"] + "/api/v1/status")
        primary = None if facts is None else facts["primary"]
        return None if primary is None else str(primary["node"])

    def wait_standby(self, central: str) -> None:
        def stands_by() -> bool:
            answer = self.registry("/standby")
            return answer is not None and answer["nodes"][0]["name"] == central

        wait_until(stands_by, f"{central} is back as standby", DEADLINE_S)
        assert not self.acts(central)

    def kill(self, central: str) -> int:
        pid = self.pid(central)
        assert pid is not None
        kill(pid)
        return pid

    def steadflow(self, *words: str, code: int = 0) -> Any:
        """Run a command in this process; its JSON, or the sentence when it fails."""
        done = CliRunner().invoke(app, [*words, "--home", str(self.system.home), "--json"])
        assert done.exit_code == code, done.output
        return done.stderr if code else json.loads(done.stdout)

    def totals(self) -> list[dict[str, int] | None]:
        return [sums_of(self.get(self.url(each) + "/api/v1/totals")) for each in CENTRALS]

    def stop_sending(self) -> dict[str, int]:
        """End the traffic; returns what was sent in all."""
        return stop_sending(self.sending)

    def wait_counted(self, sent: dict[str, int]) -> None:
        """Return once both centrals count `sent`, no less and no more."""
        try:
            wait_until(lambda: self.totals() == [sent, sent], "both count what was sent", 120)
        except AssertionError as error:
            raise AssertionError(f"{error}: {self.totals()}, sent {sent}") from error


@contextmanager
def cluster_of(system: System, sending: "subprocess.Popen[str]") -> Iterator[Cluster]:
    """The roles of a running system, with one connection to each of its services."""
    with httpx.Client(timeout=2, trust_env=False) as client:
        yield Cluster(system, sending, client)
