"""Serving a service's HTTP pages: the listening socket, and a server that leaves signals alone."""

import contextlib
import socket
from collections.abc import Iterator

import uvicorn
from fastapi import FastAPI

from shared.config import ConfigError


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the service, which stops its own work first."""
        yield


def http_server(app: FastAPI, *, stop_s: int) -> uvicorn.Server:
    """Return a server of `app`: `serve(sockets=[...])` runs until `should_exit` is set.

    stop_s: how long requests in hand may take then, in seconds.
    """
    return _Server(
        uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=stop_s)
    )


def listen(host: str, port: int) -> socket.socket:
    """Return a bound TCP socket; port 0 takes any free one.

    Raises ConfigError naming the setting `http_port`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"setting http_port: {host}:{port} is not free: {error.strerror}"
        ) from error
    return listener
