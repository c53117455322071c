"""How reading a store grows with its results: listing, finding one, and where a grid stands.

Fills a folder with small synthetic evaluations in the form that the store publishes (the files that would
be large are one file with many names) and a grid's records of them, then times each way of reading them.
Times are of the processor, so that other programs do not count; nothing of this touches a model.

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
TOLD = JobSettings(version="1", kind="sequence", backbone="me5-small", limit=200)
PLANNED = 5_000_000  # evaluations of a grid of 100 intermediate tasks, 100 targets, 100 languages and 5 seeds
LINKS = 50_000  # of one file; ext4 allows 65,000
LINKED = {
    "metrics.json": b'{\n  "examples": 200,\n  "score": 51.25\n}\n',
    "predictions.parquet": b"PAR1" * 50,
}


def eval_job(number: int) -> EvalJob:
    """A job that differs from the others by its data."""
    return EvalJob(
        run="0" * 64, task="xnli", task_version=1, split="test", language="de", backbone="sha256:b",
        data=str(number), encoding={"max_length": 128}, precision="fp32",
    )  # fmt: skip


def jobs() -> Iterator[JobSpec]:
    """As many jobs as are taken."""
    return evaluations("xnli", "f" * 64, TOLD, "test", (str(number) for number in range(10**9)))


def fill(store: Store, first: int, last: int) -> None:
    """Publishes the results from one number to another, with a record of each."""
    records = Records(store.root)
    os.fsync = lambda _: None  # a million small files need not survive a power cut
    files = {name: _entry(data) for name, data in LINKED.items()}
    for number, job in enumerate(islice(jobs(), first, last), first):
        made = eval_job(number)
        folder = store.folder(made)
        folder.mkdir(parents=True)
        told = json.dumps({**made.model_dump(mode="json"), "key": made.key}, indent=2).encode()
        manifest = json.dumps({"files": {**files, "job.json": _entry(told)}}, indent=2).encode()
        (folder / "job.json").write_bytes(told)
        for name, data in LINKED.items():
            os.link(_shared(store.root / ".linked", f"{number // LINKS}-{name}", data), folder / name)
        (folder / "manifest.json").write_bytes(manifest)
        records.record_result(job, _run(folder, made, sum(each["size"] for each in files.values())), COST)


def _shared(folder: Path, name: str, data: bytes) -> Path:
    """A file to link to."""
    path = folder / name
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return path


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _run(folder: Path, made: EvalJob, size: int) -> Run:
    return Run(folder.name, made.key, folder, made, {}, "", size)


def seconds(call: Callable[[], object], repeat: int = 1) -> float:
    """Processor seconds of one call, a mean."""
    began = time.process_time()
    for _ in range(repeat):
        call()
    return (time.process_time() - began) / repeat


def measure(store: Store, number: int) -> dict[str, float]:
    """Seconds of each way of reading a store with so many results."""
    records, one = Records(store.root), eval_job(number // 2)
    named = store.folder(one).name

    def status(planned: int, quick: bool = True) -> None:
        _check(read_status(islice(jobs(), planned), records, quick).count("done") == number)

    looked = seconds(lambda: status(number, quick=False))
    indexed = seconds(records.read_answers)
    quick = seconds(lambda: status(number))
    estimate = seconds(lambda: Estimator(records.cost_groups()))
    planned = seconds(lambda: status(PLANNED))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    listed = seconds(lambda: _check(sum(isinstance(run, Run) for run in store.scan(quick=True)) == number))
    return {  # seconds; printed in thousandths
        "look at every file": looked,
        "make the index": indexed,
        "grid status": quick,
        "its estimate": estimate,
        "status of five million": planned,
        "memory, MB": peak / 1000,
        "runs": listed,
        "get, by job": seconds(lambda: store.get(one), 5),
        "get, by key": seconds(lambda: store.with_key(one.key), 5),
        "find, by id": seconds(lambda: store.find(named), 5),
        "find, by prefix": seconds(lambda: store.find(named[:-3]), 5),
    }


def _check(fine: bool) -> None:
    if not fine:
        raise SystemExit("not all results were found")


def main() -> None:
    """Prints a table: a row for each size, times in milliseconds."""
    root, sizes = Path(sys.argv[1]) / "store", [int(size) for size in sys.argv[2:]]
    store, filled = Store(root), 0
    try:
        for size in sizes:
            fill(store, filled, size)
            filled = size
            found = measure(store, size)
            if size == sizes[0]:
                print("| results | " + " | ".join(found) + " |")
                print("|---" * (len(found) + 1) + "|")
            cells = " | ".join(f"{1000 * each:,.1f}" for each in found.values())
            print(f"| {size:,} | {cells} |", flush=True)
    finally:
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
