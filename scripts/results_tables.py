"""Prints the store's evaluations as Markdown: languages by composition, mean over seeds and their spread.

Usage: python scripts/results_tables.py STORE [TARGET ...]
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean

from adapterstilts.store import Run, Store

Cells = dict[tuple[str, str], list[float]]  # (column, language) -> one score per seed


def describe(run: Run, names: dict[str, str]) -> str:
    """A run's column: its composition, and the tasks of its sources or its own."""
    composition = run.job["composition"]
    sources = [names.get(key, key[:8]) for key in composition["sources"]]
    if not sources:
        return f"{run.job['task']} adapter" if run.job["recipe"] else "backbone"
    return f"{composition['kind']}({', '.join(sources)})"


def training_rows(run: Run) -> int:
    """How many English rows a run was trained on; runs on other numbers are not compared."""
    origin = json.loads(run.file("origin.json").read_text(encoding="utf-8"))
    return int(origin["train"]["rows"]) if origin.get("train") else 0


def collect(store: Store) -> dict[tuple[str, str, int], Cells]:
    """Scores by (target, metric name, rows trained on), for every metric."""
    runs = [run for run in store.scan(quick=True) if isinstance(run, Run)]
    trained = {run.key: run for run in runs if run.job["type"] == "train"}
    names = {key: str(run.job["task"]) for key, run in trained.items()}
    tables: dict[tuple[str, str, int], Cells] = defaultdict(lambda: defaultdict(list))
    for run in sorted(runs, key=lambda each: each.id):
        if run.job["type"] == "eval" and run.job["run"] in trained:
            column = describe(trained[run.job["run"]], names)
            for metric, value in run.metrics.items():
                if metric not in ("examples", "score"):
                    rows = training_rows(trained[run.job["run"]])
                    tables[run.job["task"], metric, rows][column, run.job["language"]].append(value)
    return tables


def cell(scores: list[float]) -> str:
    """Mean over seeds, and the range where there is more than one."""
    if not scores:
        return ""
    spread = f" ({min(scores):.1f}–{max(scores):.1f})" if len(scores) > 1 else ""
    return f"{mean(scores):.1f}{spread}"


def markdown(cells: Cells) -> list[str]:
    """One row a language, English first, then the mean without English."""
    columns = sorted({column for column, _ in cells}, key=lambda name: ("(" in name, name))
    languages = sorted({code for _, code in cells}, key=lambda code: (code != "en", code))
    lines = ["| language | " + " | ".join(columns) + " |", "|---" * (len(columns) + 1) + "|"]
    lines += [
        f"| {code} | " + " | ".join(cell(cells.get((name, code), [])) for name in columns) + " |"
        for code in languages
    ]
    shared = [code for code in languages if code != "en" and all((name, code) in cells for name in columns)]
    if shared:
        means = [mean(mean(cells[name, code]) for code in shared) for name in columns]
        lines.append(
            f"| mean of {len(shared)} others | " + " | ".join(f"{each:.1f}" for each in means) + " |"
        )
    return lines


def main() -> None:
    """Prints a table for each target and metric."""
    wanted = sys.argv[2:]
    for (target, metric, rows), cells in sorted(collect(Store(Path(sys.argv[1]))).items()):
        if not wanted or target in wanted:
            print(f"\n### {target}, {metric}, {rows} English training rows\n")
            print("\n".join(markdown(cells)))


if __name__ == "__main__":
    main()
