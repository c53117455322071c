"""Measures how the time to read a store grows with its results: listing, finding one, status of a grid.

Fills a folder with small synthetic evaluations and a grid's records of them, then times each way of reading
them. Files that would be large are hard links to one file. Times are processor times, so that other programs
do not count. No model is loaded.

Usage: python benchmarks/store_scans.py FOLDER 1000 10000 100000
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from adapterstilts.grid.estimate import Estimator
from adapterstilts.grid.job_spec import JobSettings, JobSpec, evaluations
from adapterstilts.grid.records import Cost, Records
from adapterstilts.grid.status import read_status
from adapterstilts.job import EvalJob
from adapterstilts.store import Run, Store

COST = Cost(seconds=2.5, examples=200)
SETTINGS = JobSettings(version="1", kind="sequence", backbone="me5-small", limit=200)
# Evaluations of a grid of 100 intermediate tasks, 100 targets, 100 languages and 5 seeds
PLANNED = 5_000_000
# Hard links to one file; ext4 allows 65,000
LINKS = 50_000
LINKED = {
    "metrics.json": b'{\n  "examples": 200,\n  "score": 51.25\n}\n',
    "predictions.parquet": b"PAR1" * 50,
}


def eval_job(number: int) -> EvalJob:
    """Returns a job whose data differs from that of all other numbers."""
    return EvalJob(
        run="0" * 64, task="xnli", task_version=1, split="test", language="de", backbone="sha256:b",
        data=str(number), encoding={"max_length": 128}, precision="fp32",
    )  # fmt: skip


def jobs() -> Iterator[JobSpec]:
    """Yields job specs without end."""
    return evaluations("xnli", "f" * 64, SETTINGS, "test", (str(number) for number in range(10**9)))


def fill(store: Store, start: int, stop: int) -> None:
    """Publishes the results of a range of numbers, with a record of each."""
    records = Records(store.root)
    # A million small files need not survive a power cut
    os.fsync = lambda _: None
    files = {name: _entry(data) for name, data in LINKED.items()}
    for number, job in enumerate(islice(jobs(), start, stop), start):
        result = eval_job(number)
        folder = store.folder(result)
        folder.mkdir(parents=True)
        job_json = json.dumps({**result.model_dump(mode="json"), "key": result.key}, indent=2).encode()
        manifest = json.dumps({"files": {**files, "job.json": _entry(job_json)}}, indent=2).encode()
        (folder / "job.json").write_bytes(job_json)
        for name, data in LINKED.items():
            os.link(_shared(store.root / ".linked", f"{number // LINKS}-{name}", data), folder / name)
        (folder / "manifest.json").write_bytes(manifest)
        size = sum(entry["size"] for entry in files.values())
        records.record_result(job, Run(folder.name, result.key, folder, result, {}, "", size), COST)


def _shared(folder: Path, name: str, data: bytes) -> Path:
    """Returns a file to link to."""
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def seconds(call: Callable[[], object], repeat: int = 1) -> float:
    """Returns the mean processor seconds of a call."""
    start = time.process_time()
    for _ in range(repeat):
        call()
    return (time.process_time() - start) / repeat


def measure(store: Store, number: int) -> dict[str, float]:
    """Returns the seconds of each way to read a store with this number of results."""
    records, job = Records(store.root), eval_job(number // 2)
    run_id = store.folder(job).name

    def status(planned: int, quick: bool = True) -> None:
        _check(read_status(islice(jobs(), planned), records, quick).count("done") == number)

    # The order matters: the first quick read builds the index, which the later ones use
    files_seconds = seconds(lambda: status(number, quick=False))
    index_seconds = seconds(records.read_answers)
    quick_seconds = seconds(lambda: status(number))
    estimate_seconds = seconds(lambda: Estimator(records.cost_groups()))
    planned_seconds = seconds(lambda: status(PLANNED))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    scan_seconds = seconds(
        lambda: _check(sum(isinstance(run, Run) for run in store.scan(quick=True)) == number)
    )
    # In seconds; printed in thousandths
    return {
        "check every file": files_seconds,
        "build the index": index_seconds,
        "grid status": quick_seconds,
        "its estimate": estimate_seconds,
        "status of five million": planned_seconds,
        "memory, MB": peak / 1000,
        "runs": scan_seconds,
        "get, by job": seconds(lambda: store.get(job), 5),
        "get, by key": seconds(lambda: store.with_key(job.key), 5),
        "find, by id": seconds(lambda: store.find(run_id), 5),
        "find, by prefix": seconds(lambda: store.find(run_id[:-3]), 5),
    }


def _check(complete: bool) -> None:
    if not complete:
        raise SystemExit("not all results were found")


def main() -> None:
    """Prints a table with a row for each size, in milliseconds."""
    root, sizes = Path(sys.argv[1]) / "store", [int(size) for size in sys.argv[2:]]
    store, filled = Store(root), 0
    try:
        for size in sizes:
            fill(store, filled, size)
            filled = size
            times = measure(store, size)
            if size == sizes[0]:
                print("| results | " + " | ".join(times) + " |")
                print("|---" * (len(times) + 1) + "|")
            cells = " | ".join(f"{1000 * time:,.1f}" for time in times.values())
            print(f"| {size:,} | {cells} |", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
