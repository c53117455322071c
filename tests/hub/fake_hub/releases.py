"""Datasets in the layout of a Hub repository: a folder of data files for each configuration, and a card."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import yaml

Columns = Mapping[str, list[Any]]
Files = dict[str, bytes]


def parquet(columns: Columns, classes: Mapping[str, Any] | None = None) -> bytes:
    """A Parquet file as `datasets` writes it.

    Args:
        classes: names of the labels of a column, in a list where the column has lists of labels.
    """
    from datasets import ClassLabel, Dataset, List

    table = Dataset.from_dict(dict(columns))
    for column, names in (classes or {}).items():
        feature = List(ClassLabel(names=names[0])) if isinstance(names[0], list) else ClassLabel(names=names)
        table = table.cast_column(column, feature)
    out = io.BytesIO()
    table.to_parquet(out)
    return out.getvalue()


def release(configs: Mapping[str, Mapping[str, bytes]], suffix: str = "parquet") -> Files:
    """The files of a repository: for each configuration and split one file, and a card that lists them."""
    files: Files = {}
    listed = []
    for config, splits in configs.items():
        paths = {split: f"{config}/{split}-00000-of-00001.{suffix}" for split in splits}
        files |= {paths[split]: content for split, content in splits.items()}
        data = [{"split": split, "path": f"{config}/{split}-*"} for split in splits]
        listed.append({"config_name": config, "data_files": data})
    card = yaml.safe_dump({"configs": listed})
    return {"README.md": f"---\n{card}---\n# A dataset\n".encode(), **files}


NLI = ["entailment", "neutral", "contradiction"]


def multi_nli(*pairs: tuple[str, str, int]) -> Files:
    """nyu-mll/multi_nli with these pairs (premise, hypothesis, number of the label) in both splits."""
    first, second, labels = map(list, zip(*pairs, strict=True))
    columns = {"pairID": [f"{n}e" for n in range(len(pairs))], "premise": first, "hypothesis": second}
    table = parquet({**columns, "label": labels}, {"label": NLI})
    return release({"default": {"train": table, "validation_matched": table}})


def xnli(*pairs: tuple[str, str, str, str]) -> Files:
    """google/xtreme with these pairs (language, sentences, label) as XNLI's test data."""
    names = ("language", "sentence1", "sentence2", "gold_label")
    columns = dict(zip(names, map(list, zip(*pairs, strict=True)), strict=True))
    return release({"XNLI": {"test": parquet(columns)}})
