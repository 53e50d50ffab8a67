"""One client per purpose: one for the work of the projection, a bounded pool for reports."""

import queue
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError, OperationalError

from services.central.store.clients import is_server, open_client
from services.central.store.errors import QueryRefused, ReportsBusy, StoreAway, StoreError

_AWAY = frozenset(
    {
        74,  # CANNOT_READ_FROM_FILE_DESCRIPTOR
        75,  # CANNOT_WRITE_TO_FILE_DESCRIPTOR: no space left on device
        76,  # CANNOT_OPEN_FILE
        159,  # TIMEOUT_EXCEEDED
        202,  # TOO_MANY_SIMULTANEOUS_QUERIES
        209,  # SOCKET_TIMEOUT
        210,  # NETWORK_ERROR
        241,  # MEMORY_LIMIT_EXCEEDED
        243,  # NOT_ENOUGH_SPACE
        252,  # TOO_MANY_PARTS
        319,  # UNKNOWN_STATUS_OF_INSERT
        394,  # QUERY_WAS_CANCELLED
        1001,  # STD_EXCEPTION: what the file system throws
    }
)
_REFUSED = frozenset(
    {
        158,  # TOO_MANY_ROWS
        159,  # TIMEOUT_EXCEEDED
        241,  # MEMORY_LIMIT_EXCEEDED
        307,  # TOO_MANY_BYTES
        396,  # TOO_MANY_ROWS_OR_BYTES
    }
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much reports may take from the inserts beside them.

    reports: how many run at once. execution_s, memory_bytes: of one report.
    threads: of one report; wait_s: how long a report waits for a free client.
    """

    reports: int = 2
    execution_s: int = 30
    memory_bytes: int = 2_000_000_000
    threads: int = 2
    wait_s: float = 30.0


@contextmanager
def _engine_errors(refused: frozenset[int] = frozenset()) -> Iterator[None]:
    try:
        yield
    except ClickHouseError as error:
        code = getattr(error, "code", None)
        if code in refused:
            raise QueryRefused(str(error)) from error
        if code in _AWAY or (code is None and isinstance(error, OperationalError)):
            raise StoreAway(str(error)) from error
        raise StoreError(str(error)) from error
    except OSError as error:
        raise StoreAway(str(error)) from error


def _open(place: str, settings: dict[str, Any]) -> Client:
    try:
        return open_client(place, settings)
    except (ClickHouseError, OSError) as error:
        where = "the ClickHouse server" if is_server(place) else f"the store's folder {place}"
        raise StoreAway(f"cannot open {where}: {error}") from error


class WorkClient:
    """The client of inserts, closing and look-ups; one thread uses it."""

    def __init__(self, place: str) -> None:
        """Keep `place`; `open` opens."""
        self._place = place
        self._client: Client | None = None

    def open(self) -> None:
        """Open the client; raises StoreAway."""
        self._client = _open(self._place, {})

    def close(self) -> None:
        """Close the client if it is open."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """Return the rows of a small answer."""
        with _engine_errors():
            result = self._opened().query(sql, parameters=dict(parameters or {}))
            return [tuple(row) for row in result.result_rows]

    def query_arrow(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Return an answer as Arrow."""
        with _engine_errors():
            return self._opened().query_arrow(sql, parameters=dict(parameters), use_strings=True)

    def command(
        self,
        sql: str,
        parameters: Mapping[str, Any] | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Run a statement without an answer."""
        with _engine_errors():
            self._opened().command(
                sql, parameters=dict(parameters or {}), settings=dict(settings or {})
            )

    def insert_arrow_stream(
        self, table: str, columns: Sequence[str], value: bytes, settings: Mapping[str, Any]
    ) -> None:
        """Insert the bytes of an Arrow stream as they are."""
        with _engine_errors():
            self._opened().raw_insert(
                table, list(columns), value, settings=dict(settings), fmt="ArrowStream"
            )

    def _opened(self) -> Client:
        if self._client is None:
            raise StoreError("the store is closed")
        return self._client


class ClientPool:
    """The clients of reports: few, so that reports cannot take the machine from the inserts."""

    def __init__(self, place: str, limits: Limits) -> None:
        """Keep `place`; `open` opens."""
        self._place = place
        self._limits = limits
        self._free: queue.Queue[Client] = queue.Queue()
        self._all: list[Client] = []

    def open(self) -> None:
        """Open the clients; raises StoreAway."""
        settings = {
            "max_execution_time": self._limits.execution_s,
            "max_memory_usage": self._limits.memory_bytes,
            "max_bytes_before_external_group_by": self._limits.memory_bytes // 2,
            "max_bytes_before_external_sort": self._limits.memory_bytes // 2,
            "max_threads": self._limits.threads,
        }
        for _ in range(self._limits.reports):
            client = _open(self._place, settings)
            self._all.append(client)
            self._free.put(client)

    def close(self) -> None:
        """Close all clients; waits for running reports."""
        for client in self._all:
            client.close()
        self._all.clear()

    def query_arrow(self, sql: str, parameters: Mapping[str, Any]) -> pa.Table:
        """Run one report on a free client."""
        try:
            client = self._free.get(timeout=self._limits.wait_s)
        except queue.Empty:
            raise ReportsBusy(f"no report client came free in {self._limits.wait_s} s") from None
        try:
            with _engine_errors(_REFUSED):
                return client.query_arrow(sql, parameters=dict(parameters), use_strings=True)
        finally:
            self._free.put(client)
