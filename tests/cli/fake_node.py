"""A registry or a central that only answers what a test says."""

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any


class FakeNode(HTTPServer):
    """A registry or a central: answers `METHOD path`, whatever is asked behind a `?`.

    It keeps what it was asked.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        """tls: for one that answers by HTTPS."""
        super().__init__(("127.0.0.1", 0), _Handler)
        self._scheme = "http" if tls is None else "https"
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        self.answers: dict[str, tuple[int, Any]] = {}
        self.asked: list[tuple[str, str, Any]] = []

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.server_port}"


@contextmanager
def answering(tls: ssl.SSLContext | None = None) -> Iterator[FakeNode]:
    """Have one answer until the block ends."""
    with FakeNode(tls) as node:
        thread = threading.Thread(target=node.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield node
        finally:
            node.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        server = self.server
        assert isinstance(server, FakeNode)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        asked = f"{method} {self.path}"
        server.asked.append(
            (asked, self.headers.get("Authorization", ""), json.loads(body or b"null"))
        )
        nothing = (404, {"title": "Not Found"})
        status, content = server.answers.get(asked.partition("?")[0], nothing)
        text = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: object) -> None:
        pass
