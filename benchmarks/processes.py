"""One process with all cores, or one process for each core: which makes more small trainings in an hour?

Run by hand: python benchmarks/processes.py [--backbone me5-small] [--rows 200] [--batch-size 4]

Trains as many adapters as there are cores on bundled data, once one after the other with all threads, and
once all at the same time with one thread each; prints seconds and the ratio. Nothing is kept.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time


def start(folder: str, seed: int, threads: int, given: argparse.Namespace) -> subprocess.Popen[bytes]:
    """Starts a training in a process of its own."""
    hyperparameters = {"--epochs": 2, "--batch-size": given.batch_size, "--eval-every": 10**6, "--seed": seed}
    told = ["--backbone", given.backbone, "--limit", str(given.rows), "-C", f"{folder}/{threads}", "--json"]
    command = [sys.executable, "-m", "adapterstilts", "train-adapter", "mini_paraphrase", *told]
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    for name, value in hyperparameters.items():
        command += [name, str(value)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(child: subprocess.Popen[bytes]) -> None:
    """Waits for a training.

    Raises:
        SystemExit: it failed.
    """
    if child.wait():
        raise SystemExit(f"{' '.join(map(str, child.args))}: exit code {child.returncode}")  # type: ignore[arg-type]


def main() -> None:
    """Measures both ways in one run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="me5-small")
    parser.add_argument("--rows", type=int, default=200)
    parser.add_argument("--batch-size", type=int, default=4)
    given = parser.parse_args()
    cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        for seed in range(cores):
            finish(start(folder, seed, cores, given))
        threads = time.monotonic() - began
        began = time.monotonic()
        for child in [start(folder, seed, 1, given) for seed in range(cores)]:
            finish(child)
        processes = time.monotonic() - began
    print(f"{cores} trainings of {given.rows} rows, batch {given.batch_size}, {cores} cores")
    print(f"one process, {cores} threads: {threads:.1f} s")
    print(f"{cores} processes, one thread each: {processes:.1f} s")
    print(f"ratio {threads / processes:.2f}")


if __name__ == "__main__":
    main()
