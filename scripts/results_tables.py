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

from adapterstilts.job import EvalJob, TrainJob
from adapterstilts.store import EvalOrigin, Run, Store, TrainOrigin

Cells = dict[tuple[str, str], list[float]]  # (column, language) -> one score per seed
MARK = re.compile(r"(<!-- table: ([^>]*?) -->\n)(?:\n?(?:\|.*\n)+)?")


def describe(run: Run, names: Mapping[str, str]) -> str:
    """Returns a run's column: its composition, and the tasks of its sources or its own."""
    job = run.training
    sources = [names.get(key, key[:8]) for key in job.composition.sources]
    if not sources:
        dropout = job.hyperparameters and job.hyperparameters.backbone_dropout
        return (
            f"{job.task} adapter{', dropout in the encoder' * bool(dropout)}"
            if job.hyperparameters
            else "backbone"
        )
    return f"{job.composition.kind}({', '.join(sources)})"


class Results:
    """All evaluations of a store, with the runs that they evaluate."""

    def __init__(self, store: Store):
        runs = [run for run in store.scan(quick=True) if isinstance(run, Run)]
        self.trained = {run.key: run for run in runs if isinstance(run.job, TrainJob)}
        self.names = {key: run.training.task for key, run in self.trained.items()}
        evaluations = [
            (run, run.job) for run in runs if isinstance(run.job, EvalJob) and run.job.run in self.trained
        ]
        self.evaluated = sorted(
            evaluations, key=lambda pair: (self.trained[pair[1].run].training.seed, pair[0].id)
        )

    def cells(self, query: Mapping[str, str]) -> Cells:
        """Returns the scores that a table's comment requests."""
        scores: Cells = defaultdict(list)
        for run, job in self.evaluated:
            parent = self.trained[job.run]
            if job.task == query["task"] and self._matches(run, job, parent, query):
                scores[describe(parent, self.names), job.language].append(run.metrics[query["metric"]])
        return scores

    def _matches(self, run: Run, job: EvalJob, parent: Run, query: Mapping[str, str]) -> bool:
        data = TrainOrigin.require(parent.path).data
        train = next(iter(data.values()), {}).get("train") if len(data) == 1 else None
        facts = {
            "rows": str(train["rows"]) if isinstance(train, dict) else "0",
            "limit": str(EvalOrigin.require(run.path).data.get("limit") or 0),
            "words": str(job.encoding.get("words", "separate")),
            "split": job.split,
            "only": describe(parent, self.names).replace(" ", "-"),
        }
        return all(facts[name] == value for name, value in query.items() if name in facts)


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
