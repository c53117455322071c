"""About how many rows the releases have: for estimates of time, where the data itself was not counted.

Round guides, not counted from the releases and not to be quoted. Of targets these are evaluation rows of one
language, a middle value where languages differ.
"""

from __future__ import annotations

from collections.abc import Mapping

from adapterstilts.grid.job_spec import JobSettings
from adapterstilts.tasks.multitask import split_name

TRAIN: Mapping[str, int] = {
    "anli": 162_865, "anli_plus": 1_104_934, "mnli": 392_702, "snli": 549_367, "qqp": 363_846,
    "squad_v1": 87_599, "squad_v2": 130_319, "hellaswag": 39_905, "ccg": 38_015, "cosmosqa": 25_588,
    "csqa": 9_741, "siqa": 33_410, "copa": 400, "pawsx": 49_401, "udpos": 21_253, "panx": 20_000,
    "tydiqa": 3_696, "mini_nli": 450, "mini_paraphrase": 400, "mini_qa": 300, "mini_ner": 274,
}  # fmt: skip
EVALUATED: Mapping[str, int] = {
    "xnli": 5_010, "pawsx": 2_000, "udpos": 1_000, "panx": 5_000, "xquad": 1_190, "mlqa": 5_000,
    "tydiqa": 600, "bucc2018": 660_000, "tatoeba": 2_000, "xcopa": 500, "lareqa": 2_000, "mewslix": 2_000,
    "mini_nli": 60, "mini_paraphrase": 60, "mini_qa": 60, "mini_ner": 60, "mini_retrieval": 240,
}  # fmt: skip
UNKNOWN = 5_000


def rows_of(task: str, split: str, settings: JobSettings, measured: Mapping[str, int]) -> int:
    """Rows of a task (or of several together) that a job goes through.

    Args:
        measured: rows that were counted, by task and split (`mnli/train`).
    """
    known = TRAIN if split == "train" else EVALUATED
    file = settings.train_file if split == "train" else settings.eval_file
    rows = sum(measured.get(f"{name}/{split}", known.get(name, UNKNOWN)) for name in split_name(task))
    rows = _sliced(file) or rows
    return min(rows, settings.limit) if settings.limit else rows


def _sliced(file: str | None) -> int | None:
    """Rows of `path#first-last`."""
    first, _, last = (file or "").rpartition("#")[2].partition("-")
    return int(last) - int(first) + 1 if first.isdigit() and last.isdigit() else None
