"""A fresh flow store for each test: in a chDB folder, and on a server where one is given."""

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import clickhouse_connect
import pytest

from services.central.store import FlowStore

SERVER_URL = "STEADFLOW_TEST_CLICKHOUSE_URL"

_needs_server = pytest.mark.skipif(
    SERVER_URL not in os.environ, reason=f"{SERVER_URL} names no ClickHouse server"
)


PLACES = ["chdb", pytest.param("server", marks=_needs_server)]


@contextmanager
def _place(kind: str, folder: Path) -> Iterator[str]:
    if kind == "chdb":
        yield str(folder / "store")
        return
    url = os.environ[SERVER_URL].rstrip("/")
    database = f"steadflow_{uuid.uuid4().hex}"
    with clickhouse_connect.get_client(dsn=url) as client:
        client.command(f"CREATE DATABASE {database}")
        yield f"{url}/{database}"
        client.command(f"DROP DATABASE {database}")


@pytest.fixture(params=PLACES)
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """Where a store may be opened; a process has one chDB folder open at a time."""
    with _place(request.param, tmp_path) as place:
        yield place


@pytest.fixture
def store(store_place: str) -> Iterator[FlowStore]:
    """An empty store with its tables."""
    opened = FlowStore.open(store_place)
    opened.migrate()
    yield opened
    opened.close()


@pytest.fixture(scope="module", params=PLACES)
def shared_store(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FlowStore]:
    """One store for all tests of a module that only read; not beside `store` in one module."""
    with _place(request.param, tmp_path_factory.mktemp("store")) as place:
        opened = FlowStore.open(place)
        opened.migrate()
        yield opened
        opened.close()
