"""A Hub on this machine, for the real clients: what they need of its protocol, and faults at will."""

from __future__ import annotations

import threading
import time
from typing import Self

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse

from tests.hub.fake_hub.faults import Faults
from tests.hub.fake_hub.reading import downloads, finding, telling
from tests.hub.fake_hub.state import Held, RefusedError
from tests.hub.fake_hub.writing import committing, large_files, making


class Hub(Held, Faults):
    """The server, while the `with` block lasts."""

    def __init__(self) -> None:
        Held.__init__(self)
        Faults.__init__(self, application(self))
        config = uvicorn.Config(
            self, port=0, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        while not self._server.started:
            assert self._thread.is_alive(), "the Hub did not start"
            time.sleep(0.01)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(timeout=10)

    @property
    def port(self) -> int:
        """Where it listens, on 127.0.0.1."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        """What HF_ENDPOINT is to be."""
        return f"http://127.0.0.1:{self.port}"


def application(held: Held) -> FastAPI:
    """All that is answered."""
    app = FastAPI(openapi_url=None)

    @app.exception_handler(RefusedError)
    async def refuse(_: Request, error: RefusedError) -> Response:
        return JSONResponse({"error": error.message}, error.status, error.headers)

    for routes in (finding, telling, making, committing, large_files, downloads):
        routes(app, held)
    return app
