"""A TCP proxy that cuts connections: after so many bytes in one direction, so many times."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Literal, Self

Direction = Literal["up", "down"]


class Cutter:
    """Stands in front of a server, while the `with` block lasts.

    Args:
        port: the server's.
        after: bytes in the direction after which both sides of a connection are closed.
        direction: "up" counts what clients send, "down" what they get.
        times: so many connections are cut; all further ones pass.

    Attributes:
        cuts: how many were cut so far.
        url: to be used instead of the server's.
    """

    def __init__(self, port: int, after: int, direction: Direction = "up", times: int = 1) -> None:
        self._port, self._after, self._direction, self._left = port, after, direction, times
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.cuts = 0
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            for source, target, direction in ((client, server, "up"), (server, client, "down")):
                threading.Thread(target=self._pass, args=(source, target, direction), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, direction: str) -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while data := source.recv(16384):
                if direction == self._direction and passed + len(data) > self._after and self._take():
                    target.sendall(data[: self._after - passed])
                    break
                passed += len(data)
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    def _take(self) -> bool:
        """Whether this connection is one of those to be cut."""
        with self._lock:
            due = self._left > 0
            self._left -= due
            self.cuts += due
            return due
