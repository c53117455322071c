"""Fills the tables of a Markdown page from the store: languages by composition, mean over seeds and range.

A table stands below a comment that says what is in it, keys and values as below, and is replaced:

    <!-- table: task=panx metric=f1 rows=2000 reference=panx-f1 -->

`rows` is how many English rows trained the target's adapter, `limit` the evaluation's own (0 for none),
`words` the encoding of words in tagging, `only` a composition; `reference` a column of `reference.json` beside
the page.

Usage: python scripts/results_tables.py STORE PAGE
"""

from __future__ import annotations

import json
import re
import sys
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from adapterstilts.store import Run, Store

Cells = dict[tuple[str, str], list[float]]  # (column, language) -> one score per seed
MARK = re.compile(r"(<!-- table: ([^>]*?) -->\n)(?:\n?(?:\|.*\n)+)?")


def origin(run: Run) -> dict[str, object]:
    """Where a run's data came from."""
    found: dict[str, object] = json.loads(run.file("origin.json").read_text(encoding="utf-8"))
    return found


def describe(run: Run, names: Mapping[str, str]) -> str:
    """A run's column: its composition, and the tasks of its sources or its own."""
    composition = run.job["composition"]
    sources = [names.get(key, key[:8]) for key in composition["sources"]]
    grid_config = run.job["hyperparameters"] or {}
    if not sources:
        dropout = ", dropout in the encoder" if grid_config.get("backbone_dropout") else ""
        return f"{run.job['task']} adapter{dropout}" if grid_config else "backbone"
    return f"{composition['kind']}({', '.join(sources)})"


class Results:
    """All evaluations of a store, with the runs that they are of."""

    def __init__(self, store: Store):
        runs = [run for run in store.scan(quick=True) if isinstance(run, Run)]
        self.trained = {run.key: run for run in runs if run.job["type"] == "train"}
        self.names = {key: str(run.job["task"]) for key, run in self.trained.items()}
        self.origins = {run.key: origin(run) for run in runs}
        self.evaluated = sorted(
            (run for run in runs if run.job["type"] == "eval" and run.job["run"] in self.trained),
            key=lambda run: (self.trained[run.job["run"]].job["seed"], run.id),
        )

    def cells(self, wanted: Mapping[str, str]) -> Cells:
        """The scores that a table's comment asks for."""
        found: Cells = defaultdict(list)
        for run in self.evaluated:
            parent = self.trained[run.job["run"]]
            if run.job["task"] == wanted["task"] and self._matches(run, parent, wanted):
                column = describe(parent, self.names)
                found[column, run.job["language"]].append(run.metrics[wanted["metric"]])
        return found

    def _matches(self, run: Run, parent: Run, wanted: Mapping[str, str]) -> bool:
        train = self.origins[parent.key].get("train")
        limit = self.origins[run.key].get("limit")
        facts = {
            "rows": str(train["rows"]) if isinstance(train, dict) else "0",
            "limit": str(limit or 0),
            "words": str(run.job["encoding"].get("words", "separate")),
            "split": str(run.job["split"]),
            "only": describe(parent, self.names).replace(" ", "-"),
        }
        return all(facts[name] == value for name, value in wanted.items() if name in facts)


def cell(scores: list[float]) -> str:
    """Mean over seeds, and the range where there is more than one."""
    if not scores:
        return ""
    spread = f" ({min(scores):.1f}–{max(scores):.1f})" if len(scores) > 1 else ""
    return f"{mean(scores):.1f}{spread}"


def markdown(cells: Cells, reference: Mapping[str, str]) -> list[str]:
    """One row a language, English first, then the mean without English."""
    columns = sorted({column for column, _ in cells}, key=lambda name: ("(" in name, name))
    languages = sorted({code for _, code in cells}, key=lambda code: (code != "en", code))
    extra = ["reference"] if reference else []
    lines = ["| " + " | ".join(["language", *columns, *extra]) + " |"]
    lines.append("|---" * (1 + len(columns) + len(extra)) + "|")
    for code in languages:
        values = [cell(cells.get((name, code), [])) for name in columns]
        lines.append("| " + " | ".join([code, *values, *([reference.get(code, "")] if extra else [])]) + " |")
    shared = [code for code in languages if code != "en" and all((name, code) in cells for name in columns)]
    if len(shared) > 1:
        means = [mean(mean(cells[name, code]) for code in shared) for name in columns]
        last = [f"mean of {len(shared)} others", *(f"{each:.1f}" for each in means), *([""] if extra else [])]
        lines.append("| " + " | ".join(last) + " |")
    return lines


def main() -> None:
    """Rewrites the page's tables in place."""
    results, page = Results(Store(Path(sys.argv[1]))), Path(sys.argv[2])
    references = json.loads((page.parent / "reference.json").read_text(encoding="utf-8"))

    def fill(found: re.Match[str]) -> str:
        wanted = dict(pair.split("=", 1) for pair in found[2].split())
        cells = results.cells(wanted)
        if not cells:
            raise SystemExit(f"the store has nothing for the table: {found[2]}")
        lines = markdown(cells, references.get(wanted.get("reference", ""), {}))
        return found[1] + "\n" + "\n".join(lines) + "\n"

    page.write_text(MARK.sub(fill, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
