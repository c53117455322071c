"""Compares one process on all cores with one process per core, for small trainings.

Usage: python benchmarks/processes.py [--backbone me5-small] [--rows 200] [--batch-size 4]

Trains as many adapters as there are cores on bundled data: first one after the other with all threads, then
all at the same time with one thread each. Prints seconds and their ratio. Results are removed at the end.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time


def start(folder: str, seed: int, threads: int, settings: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Starts a training in a new process."""
    options = {
        "--backbone": settings.backbone,
        "--limit": settings.rows,
        "--store": f"{folder}/{threads}",
        "--epochs": 2,
        "--batch-size": settings.batch_size,
        "--eval-every": 10**6,
        "--seed": seed,
    }
    command = [sys.executable, "-m", "adapterstilts", "train-adapter", "mini_paraphrase", "--json"]
    for name, value in options.items():
        command += [name, str(value)]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(process: subprocess.Popen[bytes]) -> None:
    """Waits for a training.

    Raises:
        SystemExit: The training failed.
    """
    if process.wait():
        raise SystemExit(f"{' '.join(map(str, process.args))}: exit code {process.returncode}")  # type: ignore[arg-type]


def main() -> None:
    """Measures both ways and prints them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="me5-small")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=4)
    settings = parser.parse_args()
    # The cores that this process may use: in a container fewer than the machine has
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        begin = time.monotonic()
        for seed in range(cores):
            finish(start(folder, seed, cores, settings))
        threads_seconds = time.monotonic() - begin
        begin = time.monotonic()
        for process in [start(folder, seed, 1, settings) for seed in range(cores)]:
            finish(process)
        processes_seconds = time.monotonic() - begin
    print(f"{cores} trainings of {settings.rows} rows, batch {settings.batch_size}, {cores} cores")
    print(f"one process, {cores} threads: {threads_seconds:.1f} s")
    print(f"{cores} processes, one thread each: {processes_seconds:.1f} s")
    print(f"ratio {threads_seconds / processes_seconds:.2f}")


if __name__ == "__main__":
    main()
