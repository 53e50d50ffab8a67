"""What tests of several parts share: the real broker of the session, topics, captures."""

import gc
import itertools
import os
import uuid
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from cli.broker import Broker
from cli.ports import free_port
from shared.kafka import Brokers, ensure_topics
from shared.topics import Topic
from tests import draws, loops
from tests.open_files import open_files
from tests.schedule import Schedule, begins, give_way

# No assertion on elapsed time: on a busy machine an example may take any.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

ROOT = Path(__file__).parent.parent
_SHARED = "STEADFLOW_SHARED"
LEFT_OPEN_MAX = 64


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--no-skips",
        action="store_true",
        help="fail when a test was skipped, but for one that needs a ClickHouse server",
    )


def pytest_configure(config: pytest.Config) -> None:
    if (worker := os.environ.get("PYTEST_XDIST_WORKER")) is not None:
        give_way(worker)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Schedule | None:
    return Schedule(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what is not drawn, and begin with the files that take longest.

    So workers end at about the same time.
    """
    files = {item: item.nodeid.partition("::")[0] for item in items}
    left_out = draws.left_out(files.values())
    config.hook.pytest_deselected(items=[item for item in items if files[item] in left_out])
    items[:] = [item for item in items if files[item] not in left_out]
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: begins(item.path, is_slow=item.path in slow))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    terminalreporter.write_line(f"cases were drawn by STEADFLOW_DRAWN_SEED={draws.SEED}")
    if terminalreporter.config.getoption("--no-skips"):
        for report in _unwanted_skips(terminalreporter):
            terminalreporter.write_line(f"skip not allowed here: {report.nodeid}", red=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter and session.config.getoption("--no-skips") and _unwanted_skips(reporter):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def _unwanted_skips(reporter: pytest.TerminalReporter) -> list[pytest.TestReport]:
    return [
        report
        for report in reporter.stats.get("skipped", [])
        if "STEADFLOW_TEST_CLICKHOUSE_URL" not in str(report.longrepr)
    ]


@pytest.fixture(scope="module", autouse=True)
def closes_what_it_opens() -> Iterator[None]:
    """A module that leaves more open than what a session needs once would run others out of it."""
    before = open_files()
    yield
    left = open_files() - before
    if left.total() > LEFT_OPEN_MAX:
        # What nobody holds any more may still wait for its turn.
        gc.collect()
        left = open_files() - before
    assert left.total() <= LEFT_OPEN_MAX, left


@pytest.fixture(scope="session")
def session_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    """The one broker of this test session; do not kill or freeze it (see `own_broker`)."""
    broker = Broker.alone(tmp_path_factory.mktemp("kafka"), port=free_port(row=2))
    broker.start()
    yield broker
    broker.kill()


@pytest.fixture(scope="session")
def broker(session_broker: Broker) -> str:
    """Bootstrap servers of the session's broker."""
    return session_broker.bootstrap_servers


@pytest.fixture
def own_broker(tmp_path: Path) -> Iterator[Broker]:
    """A running broker of one's own, to be killed, frozen and started again."""
    broker = Broker.alone(tmp_path / "kafka", port=free_port(row=2))
    broker.start()
    yield broker
    if broker.process is not None:
        broker.thaw()
    broker.kill()


@pytest.fixture(scope="session")
def make_topic(broker: str) -> Callable[..., Topic]:
    """Make a topic of its own on the session's broker; keywords as of `Topic`."""
    numbers = itertools.count()

    def make(name: str = "test", **described: object) -> Topic:
        fields: dict[str, object] = {
            "key": "any",
            "partitions": 1,
            "retention": timedelta(hours=1),
            "append_time": True,
        } | described
        topic = Topic(f"{name}-{next(numbers)}-{uuid.uuid4().hex[:8]}", **fields)  # type: ignore[arg-type]  # keywords of a test
        in_new_loop(ensure_topics(Brokers(broker), [topic]))
        return topic

    return make


def in_new_loop(work: Coroutine[Any, Any, None]) -> None:
    """Run `work` to its end, also for a test whose own loop is running."""
    with ThreadPoolExecutor(1) as thread:
        thread.submit(loops.run, work).result()


@pytest.fixture(scope="session")
def shared_captures() -> Path:
    """The folder of captures beside the checkout; skips loudly where there is none."""
    shared = Path(os.environ.get(_SHARED) or ROOT.parent / "shared")
    captures = shared.resolve() / "captures"
    if not captures.is_dir():
        pytest.skip(f"no captures: set {_SHARED} to the folder that holds captures/")
    return captures
