"""A loop that ends while the other end says nothing leaves nothing open."""

import asyncio
import gc
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.tls import TlsFiles, client_context, server_context
from tests import loops
from tests.tls_nodes import authority_in, make_node

DEADLINE_S = 60


@pytest.fixture
def node(tmp_path: Path) -> TlsFiles:
    return make_node(authority_in(tmp_path / "ca"), tmp_path / "node")


@pytest.fixture
def silent(node: TlsFiles) -> Iterator[int]:
    """A port where one connection is accepted by TLS, and nothing is said after."""
    is_over = threading.Event()

    def accept(listening: socket.socket) -> None:
        accepted, _ = listening.accept()
        with server_context(node, client_certificates="required").wrap_socket(
            accepted, server_side=True
        ):
            is_over.wait(DEADLINE_S)

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=accept, args=(listening,))
        thread.start()
        yield listening.getsockname()[1]
        is_over.set()
        thread.join(DEADLINE_S)


async def say_goodbye(port: int, node: TlsFiles) -> None:
    await _talk(port, node, asyncio.Event())


async def leave_a_task(port: int, node: TlsFiles) -> None:
    is_connected = asyncio.Event()
    talking = asyncio.create_task(_talk(port, node, is_connected, read=True))
    await is_connected.wait()
    assert not talking.done()


async def _talk(
    port: int, node: TlsFiles, is_connected: asyncio.Event, *, read: bool = False
) -> None:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=client_context(node), server_hostname="localhost"
    )
    is_connected.set()
    try:
        if read:
            await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize("work", [say_goodbye, leave_a_task])
def test_no_connection_is_left(
    work: Callable[[int, TlsFiles], Coroutine[Any, Any, None]], silent: int, node: TlsFiles
) -> None:
    # A warning is an error.
    loops.run(work(silent, node))
    gc.collect()


def test_without_it_one_is_left(silent: int, node: TlsFiles) -> None:
    """Negative control."""
    asyncio.run(say_goodbye(silent, node))
    with pytest.warns(ResourceWarning, match="unclosed"):
        gc.collect()
