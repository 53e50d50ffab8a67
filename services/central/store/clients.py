"""Clients of the store's engine: a chDB folder, or a ClickHouse server by URL.

One client object is one lock, so each purpose gets a client of its own. A chDB folder belongs to
one process, and a process to one chDB folder.
"""

from pathlib import Path
from typing import Any

import clickhouse_connect
import sqlalchemy
from clickhouse_connect.driver.client import Client

SERVER_SCHEMES = ("http", "https", "clickhouse", "clickhouses")
"""Schemes of a server's URL; anything else is the folder of an embedded engine."""


def is_server(place: str) -> bool:
    """Tell the URL of a server from the folder of an embedded engine."""
    scheme, separator, _ = place.partition("://")
    return bool(separator) and scheme in SERVER_SCHEMES


def open_client(place: str, settings: dict[str, Any]) -> Client:
    """Open a client with `settings` for all its statements.

    Raises the driver's errors: the caller turns them into its own.
    """
    if is_server(place):
        return clickhouse_connect.get_client(
            settings=settings,
            # No session: statements of one client then never wait for each other on the server.
            autogenerate_session_id=False,
            # The vector of open streams may outgrow what a server takes in a URL.
            form_encode_query_params=True,
            **server_arguments(place),
        )
    Path(place).mkdir(parents=True, exist_ok=True)
    return clickhouse_connect.get_client(interface="chdb", path=place, settings=settings)


def sqlalchemy_engine(place: str) -> sqlalchemy.Engine:
    """Return an engine for migrations; it keeps no connection open between uses."""
    arguments = (
        server_arguments(place) if is_server(place) else {"interface": "chdb", "path": place}
    )
    return sqlalchemy.create_engine(
        "clickhousedb://", connect_args=arguments, poolclass=sqlalchemy.NullPool
    )


def server_arguments(place: str) -> dict[str, Any]:
    """Return what the driver needs to reach a server by URL.

    It takes everything but TLS from the URL itself.
    """
    scheme, _, rest = place.partition("://")
    secure = scheme in ("https", "clickhouses")
    return {"dsn": f"{'https' if secure else 'http'}://{rest}", "secure": secure}
