"""Faults that a test switches on: answers that fail, come late or stop in the middle; a log of requests."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Call:
    """A request that came, and the status of its answer (None while there is none)."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str] = field(repr=False)
    status: int | None = None


@dataclass
class Fault:
    """What happens to the next `times` requests of a method and path (a pattern, searched for)."""

    method: str
    path: str
    times: int
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    stop_after: int | None = None

    def takes(self, call: Call) -> bool:
        """Whether it befalls the request; if so, it is used up by one."""
        due = self.times > 0 and re.fullmatch(self.method, call.method) and re.search(self.path, call.path)
        self.times -= bool(due)
        return bool(due)


class Faults:
    """Wraps a server's application.

    Attributes:
        log: every request, in order.
        faults: those switched on.
    """

    def __init__(self, app: Any) -> None:
        self._app = app
        self.log: list[Call] = []
        self.faults: list[Fault] = []

    def fail(
        self, method: str = ".*", path: str = "", status: int = 503, times: int = 1,
        headers: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        """Answers with an error."""
        self.faults.append(Fault(method, path, times, status, headers or {}))

    def slow(self, path: str = "", seconds: float = 1.0, times: int = 1000, method: str = ".*") -> None:
        """Answers late."""
        self.faults.append(Fault(method, path, times, seconds=seconds))

    def stop(self, path: str, after: int, times: int = 1, method: str = "GET") -> None:
        """Closes the connection after so many bytes of the answer's body."""
        self.faults.append(Fault(method, path, times, stop_after=after))

    def calls(self, method: str = ".*", path: str = "") -> list[Call]:
        """The requests of a method whose path has a pattern in it."""
        return [each for each in self.log if re.fullmatch(method, each.method) and re.search(path, each.path)]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answers one request."""
        headers = {name.decode().lower(): value.decode() for name, value in scope["headers"]}
        call = Call(scope["method"], scope["path"], scope["query_string"].decode(), headers)
        self.log.append(call)
        stop_after = None
        for fault in [each for each in self.faults if each.takes(call)]:
            await asyncio.sleep(fault.seconds)
            stop_after = fault.stop_after if stop_after is None else stop_after
            if fault.status:
                call.status = fault.status
                await _refuse(receive, send, fault)
                return
        await self._app(scope, receive, _Answer(call, send, stop_after))


class _Answer:
    """Passes an answer on, up to where it is to stop."""

    def __init__(self, call: Call, send: Any, left: int | None) -> None:
        self._call, self._send, self._left = call, send, left

    async def __call__(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self._call.status = message["status"]
        elif self._left is not None:
            body = message.get("body", b"")
            if len(body) > self._left:
                await self._send({**message, "body": body[: self._left], "more_body": True})
                raise ConnectionResetError("as a test wanted it")
            self._left -= len(body)
        await self._send(message)


async def _refuse(receive: Any, send: Any, fault: Fault) -> None:
    while (await receive()).get("more_body"):
        pass  # the request is read to its end, as a server does that can still talk
    given = {"content-type": "application/json", **fault.headers}
    headers = [(name.lower().encode(), value.encode()) for name, value in given.items()]
    await send({"type": "http.response.start", "status": fault.status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"error": "as a test wanted it"}).encode()})
