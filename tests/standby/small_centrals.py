"""Centrals by HTTPS, one of which acts, as the agent of a machine that joined them sees them."""

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from services.central.join.node_api import reach_back
from services.standby.config import StandbyConfig
from services.standby.steps import Steps
from shared.http import http_server, listen
from shared.register import parse_primary
from shared.this_machine import this_machine
from shared.tls import TlsFiles
from tests.standby.small_primary import MADE_AT_MS, FakeTime, SmallPrimary
from tests.tls_nodes import authority_in, make_node

NOWHERE = "http://127.0.0.1:1"


@dataclass
class SmallCentral:
    """epoch: in which it acts, 0 while it does not. names: whom it believes to act.

    asked: methods and paths of all requests but those for `/primary`. tries: whether it does try
    ports; tried: those, with the names.
    """

    name: str
    primary: SmallPrimary
    epoch: int = 0
    names: str = ""
    url: str = ""
    asked: list[str] = field(default_factory=list)
    tries: bool = False
    tried: list[tuple[list[int], str]] = field(default_factory=list)
    server: uvicorn.Server | None = None
    serving: "asyncio.Task[None] | None" = None

    async def start(self, files: TlsFiles, port: int = 0) -> None:
        app = FastAPI()
        app.add_api_route("/{path:path}", self._answer, methods=["GET", "POST", "DELETE"])
        listener = listen("127.0.0.1", port)
        self.url = f"https://127.0.0.1:{listener.getsockname()[1]}"
        self.server = http_server(app, stop_s=1, tls=files)
        self.serving = asyncio.create_task(self.server.serve(sockets=[listener]))

    async def stop(self) -> None:
        if self.server is not None and self.serving is not None:
            self.server.should_exit = True
            await self.serving
        self.server = None

    async def _answer(self, request: Request) -> Response:
        path = request.url.path
        if path == "/primary":
            said = {"node": self.name, "url": self.url if self.epoch else self.names}
            content = json.dumps({**said, "epoch": self.epoch})
            return Response(content, 200 if self.epoch else 503)
        self.asked.append(f"{request.method} {path}")
        assert request.headers["authorization"] == "Bearer the-token"
        if path == "/api/v1/node":
            machine = this_machine(Path("/"), now_ms=time.time_ns() // 1_000_000)
            node = {"machine": machine.to_json(), "store_bytes": 1, "flows_per_s": 1.0}
            return Response(json.dumps(node))
        if path == "/api/v1/node/reach":
            ports, host = (await request.json())["ports"], request.query_params["host"]
            self.tried.append((ports, host))
            answer_back = await reach_back(request, ports, host) if self.tries else {}
            return Response(json.dumps(answer_back))
        if path == "/api/v1/join/progress":
            return Response("{}")
        headers = dict(request.headers)
        answer = self.primary.answer(
            httpx.Request(request.method, str(request.url), headers=headers)
        )
        # As it comes: what breaks off has begun.
        return StreamingResponse(
            answer.stream,
            answer.status_code,
            dict(answer.headers),
        )


@dataclass
class Cluster:
    """Centrals that run, and the home of a machine that joined the first of them."""

    home: Path
    files: TlsFiles
    centrals: list[SmallCentral]
    time: FakeTime = field(default_factory=FakeTime)
    now_ms: int = MADE_AT_MS

    def tell(self, *centrals: SmallCentral, brokers: str = "") -> None:
        """Note what is told at a join."""
        urls = [each.url for each in centrals]
        given = {"brokers": brokers, "centrals": [NOWHERE, *urls]}
        (self.home / "given.json").write_text(json.dumps(given))

    @property
    def config(self) -> StandbyConfig:
        joined = self.centrals[0].url
        return StandbyConfig(
            home=self.home, name="central-c", primary=joined, hosts="c", central_url=NOWHERE
        )

    def steps(self, config: StandbyConfig | None = None) -> Steps:
        config = config or self.config
        options = self.time.options()
        return Steps(config, parse_primary(config.primary), lambda: self.now_ms, options=options)


@contextlib.asynccontextmanager
async def running(home: Path, *centrals: SmallCentral) -> AsyncIterator[Cluster]:
    """Start them, and tell of them all."""
    authority = authority_in(home / "authority")
    files = make_node(authority, home / "tls")
    (home / "token").touch(mode=0o600)
    (home / "token").write_text("the-token\n")
    try:
        for each in centrals:
            await each.start(files)
        cluster = Cluster(home, files, [*centrals])
        cluster.tell(*centrals)
        yield cluster
    finally:
        for each in centrals:
            await each.stop()
