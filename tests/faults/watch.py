"""Asks each central again and again whether it acts, and keeps every yes."""

import threading
import time
from bisect import bisect_left
from collections.abc import Callable, Mapping
from itertools import islice
from typing import Self, TypeVar

import httpx

from tests.faults.checker import Sighting

EVERY_S = 0.03
"""Often enough to measure a takeover by, and some hundredths of a core."""


Found = TypeVar("Found")


class Watch:
    """One thread for each central, so that a frozen one hides no other. Works inside its context.

    sightings: by the time of the answer; times are of this process's monotonic clock.
    """

    def __init__(self, urls: Mapping[str, str]) -> None:
        """urls: where each central answers, by its name."""
        self._answered = threading.Condition()
        self._stopped = threading.Event()
        self._urls = urls
        self._threads: list[threading.Thread] = []
        self._last: dict[str, Sighting | None] = {}
        self.sightings: list[Sighting] = []

    def __enter__(self) -> Self:
        for node, url in self._urls.items():
            self.add(node, url)
        return self

    def __exit__(self, *raised: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def add(self, node: str, url: str) -> None:
        """Watch one more."""
        thread = threading.Thread(target=self._ask, args=(node, url))
        self._threads.append(thread)
        thread.start()

    def actors(self) -> list[str]:
        """Return who said yes to the last question."""
        with self._answered:
            return [node for node, last in self._last.items() if last is not None]

    def wait_for(self, *nodes: str, after_s: float, deadline_s: float) -> Sighting:
        """Return the first yes of one of `nodes` to a question asked after an instant."""

        def found() -> Sighting | None:
            first = bisect_left(self.sightings, after_s, key=lambda each: each.answered_s)
            later = islice(self.sightings, first, None)
            return next((e for e in later if e.node in nodes and e.asked_s > after_s), None)

        return self._wait(found, f"{' or '.join(nodes)} acts", deadline_s)

    def wait_for_one(self, *, deadline_s: float) -> str:
        """Return who acts, once somebody alone does."""

        def alone() -> str | None:
            actors = [node for node, last in self._last.items() if last is not None]
            return actors[0] if len(actors) == 1 else None

        return self._wait(alone, "one acts", deadline_s)

    def _wait(self, found: Callable[[], Found | None], what: str, deadline_s: float) -> Found:
        with self._answered:
            if not self._answered.wait_for(lambda: found() is not None, deadline_s):
                raise AssertionError(f"not within {deadline_s:.0f} s: {what}")
            result = found()
            assert result is not None
            return result

    def _ask(self, node: str, url: str) -> None:
        with httpx.Client(trust_env=False, timeout=2) as client:
            while not self._stopped.wait(EVERY_S):
                sighting = _acts(client, node, url)
                with self._answered:
                    self._last[node] = sighting
                    if sighting is not None:
                        self.sightings.append(sighting)
                    self._answered.notify_all()


def _acts(client: httpx.Client, node: str, url: str) -> Sighting | None:
    asked_s = time.monotonic()
    try:
        answer = client.get(f"{url}/primary")
    except httpx.HTTPError:
        return None
    if answer.status_code != httpx.codes.OK:
        return None
    return Sighting(node, int(answer.json()["epoch"]), asked_s, time.monotonic())
