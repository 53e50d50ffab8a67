"""The same pages and API by HTTPS: from the start by settings, and once the network is enabled."""

import asyncio
import contextlib
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

import uvicorn
from fastapi import FastAPI

from services.central.config import CentralConfig
from shared.config import ConfigError
from shared.http import http_server, listen
from shared.network import NetworkError, read_network
from shared.tls import TlsError, TlsFiles, https_client_context

log = logging.getLogger(__name__)

LOOK_S = 0.5


@dataclass(frozen=True, slots=True)
class Address:
    """Where HTTPS is served. setting: who says so."""

    host: str
    port: int
    setting: str


def wanted(config: CentralConfig) -> list[Address]:
    """Return where HTTPS shall be served now. Raises NetworkError."""
    addresses = []
    if config.https_port is not None:
        addresses.append(Address(config.https_host, config.https_port, "https_port"))
    if config.network_file is not None:
        network = read_network(config.network_file)
        port = None if network is None else network.https_ports.get(config.name)
        if network is not None and port is not None:
            addresses.append(Address(network.bind, port, "network_file"))
    return addresses


def check_https(config: CentralConfig) -> None:
    """Raise ConfigError for certificates that cannot be used."""
    if config.tls_dir is None:
        return
    setting = "tls_dir"
    try:
        https_client(config)
        if config.https_certificate is not None:
            setting = "https_certificate"
        # Built and dropped: the files are read as for a listener.
        http_server(FastAPI(), stop_s=0, tls=config.https_files)
    except TlsError as error:
        raise ConfigError(f"setting {setting}: {error}") from error


def https_client(config: CentralConfig) -> ssl.SSLContext | None:
    """Return how other centrals are asked by HTTPS; None without certificates. Raises TlsError."""
    if config.tls_dir is None:
        return None
    # The centrals of one machine show the same certificate.
    return https_client_context(TlsFiles.in_directory(config.tls_dir), own=config.https_certificate)


class Https:
    """Serves `app` wherever HTTPS is wanted, as long as `run` runs."""

    def __init__(
        self,
        config: CentralConfig,
        app: FastAPI,
        *,
        is_started: Callable[[], bool],
        stop_s: int,
    ) -> None:
        """Open nothing yet.

        is_started: whether `app` may be asked; another server of it does its start.
        stop_s: how long requests in hand may take at the end, in seconds.
        """
        self._config = config
        self._app = app
        self._is_started = is_started
        self._stop_s = stop_s
        self._open: dict[Address, _Listener] = {}
        self._said = ""

    @property
    def ports(self) -> list[int]:
        """Where it listens now."""
        return [each.port for each in self._open.values()]

    async def run(self) -> None:
        """Open and close listeners as they are wanted, until cancelled."""
        tls = self._config.https_files
        if tls is None:
            return
        try:
            while True:
                if self._is_started():
                    await self._look(tls)
                await asyncio.sleep(LOOK_S)
        finally:
            await asyncio.gather(*(each.close() for each in self._open.values()))
            self._open.clear()

    async def _look(self, tls: TlsFiles) -> None:
        try:
            addresses = wanted(self._config)
            for address in self._open.keys() - set(addresses):
                await self._open.pop(address).close()
            for address in addresses:
                if address not in self._open:
                    self._open[address] = self._listener(address, tls)
        except (ConfigError, NetworkError, TlsError) as error:
            # Tried again for ever: a port may become free, a file may be mended.
            if str(error) != self._said:
                log.error("no HTTPS: %s", error)
            self._said = str(error)

    def _listener(self, address: Address, tls: TlsFiles) -> "_Listener":
        server = http_server(self._app, stop_s=self._stop_s, tls=tls, lifespan=False)
        opened = listen(address.host, address.port, setting=address.setting)
        log.info("https=%s:%d", *opened.getsockname()[:2])
        self._said = ""
        return _Listener(server, opened)


class _Listener:
    """One open port."""

    def __init__(self, server: uvicorn.Server, opened: socket.socket) -> None:
        self.port: int = opened.getsockname()[1]
        self._server = server
        self._opened = opened
        self._serving = asyncio.create_task(server.serve(sockets=[opened]))

    async def close(self) -> None:
        self._server.should_exit = True
        with contextlib.closing(self._opened):
            await self._serving
