"""Grids with chains of trainings, language adapters and leaks run to their end."""
# ruff: noqa: F811

from __future__ import annotations

import json
from pathlib import Path

from adapterstilts.grid.records import Records
from adapterstilts.store import Store
from tests.cli.conftest import Call, call  # noqa: F401

from .conftest import Write, plan_of

SMALL = {"targets": ["mini_paraphrase"], "languages": ["de"], "compositions": ["sequential"]}
CHAIN = {"trained_on": {"mini_paraphrase": "mini_nli>mini_paraphrase"}, "intermediate": ["mini_qa"]}


def ran(call: Call, path: Path) -> None:
    call("grid", "run", str(path), "-C", "store", "--processes", "1")


def test_each_training_of_a_chain_starts_from_the_previous_adapter(call: Call, write: Write) -> None:
    path = write(**SMALL, **CHAIN)
    ran(call, path)
    store, records = Store(Path("store")), Records(Path("store"))
    for cell in plan_of(path).cells:
        record = records.find_finished(cell.training.digest)
        assert record is not None
        tasks = []
        run = store.with_key(record.key)
        while run:
            tasks.append(run.job.task)
            sources = run.training.composition.sources
            run = store.with_key(sources[0]) if sources else None
        expected = ["mini_paraphrase", "mini_nli", *(["mini_qa"] if cell.intermediate else [])]
        assert tasks == expected


def test_language_adapters_are_exchanged_and_leaks_reported(
    call: Call, write: Write, tiny_backbone: Path
) -> None:
    Path("text.txt").write_text("the cat saw a dog .\nAnna took the red book .\n" * 20, encoding="utf-8")
    for language in ("en", "de"):
        call(
            "train-adapter", "mlm", "--language", language, "--text", "text.txt", "-C", "store",
            "--backbone", str(tiny_backbone), "--max-steps", "2",
        )  # fmt: skip
    data = Path("rows.tsv").resolve()
    data.write_text("a cat\ta dog\tparaphrase\nthe man\tthe city\tdifferent\n" * 6, encoding="utf-8")
    path = write(
        **SMALL, adapter_configs={"name": "seq_bn", "language_adapter": "single-mlm-{lang}-"},
        allow_leak=True, intermediate=[], files={"mini_paraphrase": {"train": str(data), "eval": str(data)}},
    )  # fmt: skip
    ran(call, path)
    records = Records(Path("store"))
    evaluation = next(each for each in plan_of(path).jobs() if each.language)
    record = records.find_finished(evaluation.digest)
    assert record is not None
    job = json.loads((records.store / record.run / "job.json").read_bytes())
    assert job["language_adapter"]
    assert records.read_metrics(record)["leaked"] == 6  # one of the two premises is held out
