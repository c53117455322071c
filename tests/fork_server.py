"""Runs Python in processes of their own without the seconds that each would take to load large libraries.

A server process loads them once and forks for each call. Libraries that read the environment when they are
imported, as the Hub's client does, are not among them: each call has the environment that it names.
"""

from __future__ import annotations

import atexit
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
LIBRARIES = (
    "faiss jinja2 numpy pandas pyarrow.parquet pydantic rich.console safetensors.torch scipy.stats "
    "seqeval.metrics sklearn.metrics tokenizers torch torch._dynamo typer yaml"
).split()


class ForkServer:
    """The client's side: each call connects, names what to run, and waits for its exit code."""

    def __init__(self, address: Path) -> None:
        self._address = address

    def run(
        self, words: list[str], env: dict[str, str], cwd: Path, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """As `subprocess.run([sys.executable, *words], capture_output=True, ...)`, for -c and -m."""
        with tempfile.TemporaryDirectory() as name, socket.socket(socket.AF_UNIX) as connection:
            files = [Path(name, stream) for stream in ("out", "err")]
            call = {"words": words, "env": env, "cwd": str(cwd), "files": [str(file) for file in files]}
            connection.settimeout(timeout)
            connection.connect(str(self._address))
            connection.sendall(json.dumps(call).encode() + b"\n")
            code = int(connection.makefile().readline())
            return subprocess.CompletedProcess(words, code, *(file.read_text("utf-8") for file in files))


@contextmanager
def started() -> Iterator[ForkServer]:
    """A running server; it ends with the block, or with the process that started it."""
    with tempfile.TemporaryDirectory() as name:
        address = Path(name, "socket")
        command = [sys.executable, __file__, str(address)]
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=env) as server:
            assert server.stdout and server.stdout.readline() == b"ready\n"
            yield ForkServer(address)
            server.terminate()


def serve(address: str) -> None:
    for library in LIBRARIES:
        importlib.import_module(library)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for the processes that serve a call
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(address)
        listener.listen()
        print("ready", flush=True)
        while sys.stdin not in select.select([listener, sys.stdin], [], [])[0]:  # it closes with the parent
            connection, _ = listener.accept()
            if os.fork() == 0:
                answer(connection)
                os._exit(0)
            connection.close()


def answer(connection: socket.socket) -> None:
    """Reads a call, runs it in one more process and sends its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    call = json.loads(connection.makefile().readline())
    child = os.fork()
    if child == 0:
        connection.close()
        os._exit(program(**call))
    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def program(words: list[str], env: dict[str, str], cwd: str, files: list[str]) -> int:
    """What the interpreter does with these arguments; the exit code."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    for number, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), number)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.path[0] = cwd
    sys.argv = [words[0] if words[0] == "-c" else words[1], *words[2:]]
    try:
        if words[0] == "-c":
            scope: dict[str, Any] = {"__name__": "__main__"}
            exec(compile(words[1], "<string>", "exec"), scope)
        else:
            runpy.run_module(words[1], run_name="__main__", alter_sys=True)
        code: object = 0
    except SystemExit as end:
        code = end.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    if not isinstance(code, int):
        print(code, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    return code if isinstance(code, int) else 1


if __name__ == "__main__":
    serve(sys.argv[1])
