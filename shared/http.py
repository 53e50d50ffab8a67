"""Serving a service's HTTP pages: the listening socket, and a server that leaves signals alone."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Iterator
from typing import Any

import uvicorn
from fastapi import FastAPI
from starlette.requests import HTTPConnection
from uvicorn.protocols.http.auto import AutoHTTPProtocol

from shared.config import ConfigError
from shared.tls import ClientCertificates, TlsFiles, server_context

_CLIENT_NAME = "tls_client_name"


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the service, which stops its own work first."""
        yield


class _NamingProtocol(AutoHTTPProtocol):  # type: ignore[misc, valid-type]  # chosen at import
    """Lets requests know whose certificate was shown on their connection."""

    app_state: dict[str, Any]  # as uvicorn has it: copied to the state of each request

    def connection_made(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        secured: ssl.SSLObject | None = transport.get_extra_info("ssl_object")
        name = None if secured is None else _common_name(secured.getpeercert())
        if name is not None:
            self.app_state = {**self.app_state, _CLIENT_NAME: name}


def _common_name(certificate: dict[str, Any] | None) -> str | None:
    # Any: typeshed knows only some of the shapes that a certificate is given in.
    for part in (certificate or {}).get("subject", ()):
        for key, value in part:
            if key == "commonName":
                return str(value)
    return None


def client_name(request: HTTPConnection) -> str | None:
    """Return the node whose certificate came with `request`; None without one.

    It was verified: our authority signed that this key is that node's.
    """
    name = getattr(request.state, _CLIENT_NAME, None)
    return name if isinstance(name, str) else None


def http_server(
    app: FastAPI,
    *,
    stop_s: int,
    tls: TlsFiles | None = None,
    client_certificates: ClientCertificates = "optional",
    lifespan: bool = True,
) -> uvicorn.Server:
    """Return a server of `app`: `serve(sockets=[...])` runs until `should_exit` is set.

    stop_s: how long requests in hand may take then, in seconds. tls: by TLS only.
    lifespan: whether it starts and stops the app; one of several servers of an app does.
    Raises TlsError.
    """
    context = None
    if tls is not None:
        context = server_context(tls, client_certificates=client_certificates)
    config = uvicorn.Config(
        app,
        http=_NamingProtocol,
        lifespan="auto" if lifespan else "off",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=stop_s,
        ssl_context_factory=None if context is None else lambda config, default: context,
    )
    return _Server(config)


def listen(host: str, port: int, *, setting: str = "http_port") -> socket.socket:
    """Return a bound TCP socket; port 0 takes any free one.

    Raises ConfigError naming `setting`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise ConfigError(
            f"setting {setting}: {host}:{port} is not free: {error.strerror}"
        ) from error
    return listener
