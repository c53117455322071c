"""Renders the model card of a run: the Hub's metadata and a text for readers, from the same data."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import resources
from typing import Any, Literal

from huggingface_hub import EvalResult, ModelCardData
from jinja2 import Environment, StrictUndefined

from adapterstilts.data.item_digests import origins
from adapterstilts.hub.card_data import Facts, Score
from adapterstilts.hub.layout import KEY
from adapterstilts.hub.lora_tensors import form_of
from adapterstilts.hub.markdown import Raw, code, one_line, plain, quoted, shell
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model.backbone import HUB_ID
from adapterstilts.store.origin import TrainOrigin
from adapterstilts.tasks.citations import REFERENCES
from adapterstilts.tasks.spec import Metric, Task

LISTED = "adapter-transformers"  # the Hub's tag for adapters of the `adapters` library
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")  # codes that the Hub accepts
METRICS = {"em": "exact_match", "map20": "map_at_20"}  # metrics with another name on the Hub
HEADLINES: Mapping[Metric, str] = {
    "accuracy": "accuracy",
    "f1": "F1",
    "em_f1": "mean of exact match and F1",
    "map20": "mAP@20",
}
COMPOSITIONS = {
    "single": "an adapter",
    "sequential": "an adapter initialised from another adapter",
    "stack": "an adapter on top of a frozen adapter",
    "fuse": "an AdapterFusion layer over frozen adapters",
    "average": "an adapter initialised from the mean of other adapters",
}


@dataclass(frozen=True)
class Form:
    """The library whose files are at the top of a repository.

    Attributes:
        name: Name of the library.
        head: Head that is included in PEFT format.
        revision: Branch to publish on; None is the main branch.
    """

    name: Literal["adapters", "peft"] = "adapters"
    head: HeadSpec | None = None
    revision: str | None = None


def card(facts: Facts, repo: str, form: Form, checksums: Mapping[str, str]) -> str:
    """Returns the text of a run's card, metadata included.

    Args:
        facts: Content of the card.
        repo: Repository id.
        form: Library and branch.
        checksums: SHA-256 (hex) of every other file of the repository, by its path.
    """
    data = _metadata(facts, repo, form, checksums)
    text = resources.files("adapterstilts.hub").joinpath("card.md").read_text("utf-8")
    # `finalize` escapes every value, so that a template cannot forget it; `Raw` values are exempt
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, finalize=plain
    )
    environment.filters.update(code=code, cell=partial(code, table=True), shell=shell)
    body = environment.from_string(text).render(_template_values(facts, repo, form))
    return f"---\n{data.to_yaml()}\n---\n\n{body}"


def _metadata(facts: Facts, repo: str, form: Form, checksums: Mapping[str, str]) -> ModelCardData:
    """Returns the metadata that the Hub reads."""
    datasets = sorted({credit.dataset for credit in facts.credits if credit.dataset})
    languages = {*facts.job.languages, *(score.language for score in facts.scores)}
    languages |= set() if facts.text_alone else {"en"}
    tags = [LISTED] if form.name == "adapters" else ["peft", "lora"]
    tags += [KEY, *filter(None, [facts.backbone.model_type]), *(task.name for task in facts.tasks)]
    record = {
        "run": facts.run.id,
        "key": facts.run.key,
        "backbone": {
            "name": one_line(facts.backbone.name),
            "fingerprint": one_line(facts.backbone.fingerprint),
        },
        "sha256": dict(sorted(checksums.items())),
    }
    # Names that are not valid Hub ids are omitted: the Hub would refuse the whole card
    base = facts.backbone.repo if HUB_ID.fullmatch(facts.backbone.repo or "") else None
    return ModelCardData(
        base_model=base,
        base_model_relation="adapter" if base else None,
        datasets=[dataset for dataset in datasets if HUB_ID.fullmatch(dataset)] or None,
        language=sorted(code for code in languages if LANGUAGE.fullmatch(code)),
        library_name=form.name,
        license=facts.licence.id,
        license_name=facts.licence.name,
        metrics=sorted({_metric(name) for score in facts.scores for name in score.metrics}) or None,
        model_name=one_line(repo.rpartition("/")[2]),
        pipeline_tag=facts.tasks[0].kind_spec.pipeline_tag if facts.heads else None,
        tags=[one_line(tag, 100) for tag in tags],
        eval_results=list(_results(facts.scores)) or None,
        **{KEY: record},
    )


def _metric(name: str) -> str:
    return METRICS.get(name, name)


def _results(scores: Sequence[Score]) -> Iterator[EvalResult]:
    """Yields the entries of the model index: every metric of every task and language, in percent."""
    for score in scores:
        for name, value in score.metrics.items():
            yield EvalResult(
                task_type=score.task.kind_spec.pipeline_tag,
                dataset_type=one_line(score.task.hub.repo if score.task.hub else score.task.name),
                dataset_name=one_line(f"{score.task.title} ({score.language})"),
                dataset_config=one_line(score.language),
                dataset_split=score.split,
                dataset_revision=one_line(score.revision) if score.revision else None,
                dataset_args={"rows": one_line(score.rows), "examples": score.examples},
                metric_type=_metric(name),
                metric_value=value,
                metric_name=f"{_metric(name)} (percent)",
            )


def _template_values(facts: Facts, repo: str, form: Form) -> dict[str, Any]:
    """Returns the values of the template."""
    job, records = facts.job, _training_rows(facts.origin)
    return {
        "repo": repo,
        "reference": f"{repo}@{form.revision}" if form.revision else repo,
        "trained": _trained_on(facts),
        "form": form.name,
        "facts": facts,
        "run": facts.run,
        "job": job,
        "title": facts.title,
        "composition": COMPOSITIONS[job.composition.kind],
        "hyperparameters": _json(job.hyperparameters),
        "settings": job.adapter,
        "data": [
            {**credit.model_dump(), "reference": _reference(credit.citation)} for credit in facts.credits
        ],
        "files": list(_files(records)),
        "own_file": any(record.get("kind") == "file" for record in records),
        "embedded": facts.backbone.commit is None and facts.backbone.repo is not None,
        "tables": list(_tables(facts.scores)),
        "leaks": [score for score in facts.scores if score.leaked],
        "code": Raw("\n".join((_peft_code if form.name == "peft" else _code)(facts, repo, form))),
        "merge": f"adapterstilts merge {facts.run.id} --out FOLDER",
        "mergeable": facts.method == "lora" and len(facts.adapters) == 1,
    }


def _trained_on(facts: Facts) -> str:
    """Describes the training data, as the end of a sentence that begins with "was trained"."""
    languages = ", ".join(facts.job.languages)
    if "published" in facts.job.data:
        # Another program trained it, so the data is unknown
        assert facts.origin.pulled is not None
        return f"by a third party (published as {facts.origin.pulled.repo})"
    if facts.text_alone:
        return f"on plain text in {languages}"
    data = (
        "on English and translated data"
        if any("translated" in splits for splits in facts.origin.data.values())
        else "on English data"
    )
    return f"{data} and plain text in {languages}" if languages else data


def _training_rows(origin: TrainOrigin) -> list[Mapping[str, Any]]:
    """Returns the records of the training rows' sources."""
    return [
        record
        for record in origins(origin.data)
        if "rows" in record and ("file" in record or "repo" in record)
    ]


def _files(records: Sequence[Mapping[str, Any]]) -> Iterator[Raw]:
    """Describes each source of training rows."""
    for record in records:
        commit = f" at commit {plain(record['commit'])}" if record.get("commit") else ""
        part = plain(", rows {}-{}".format(*record["slice"])) if record.get("slice") else ""
        limit = plain(f", a subsample with seed {record['seed']}") if record.get("limit") else ""
        source = code(record.get("repo") or record["file"])
        yield Raw(f"{source}{commit}{part}{limit}: {plain(record['rows'])} rows")


def _tables(scores: Sequence[Score]) -> Iterator[dict[str, Any]]:
    """Yields the values of one table for each task and split."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.task.name, score.split), []).append(score)
    for group in groups.values():
        task: Task = group[0].task
        # English is the training language, so it is not part of the zero-shot mean
        zero_shot = [score.headline for score in group if score.language != "en"]
        yield {
            "task": task,
            "rows": sorted({_without_language(score) for score in group}),
            "metric": HEADLINES[task.metric],
            "scores": group,
            "count": len(zero_shot),
            "mean": sum(zero_shot) / len(zero_shot) if zero_shot else None,
        }


def _without_language(score: Score) -> str:
    """Describes the scored rows with `{lang}` for the language, so that languages can share a line."""
    return re.sub(rf"(?<![A-Za-z]){re.escape(score.language)}(?![A-Za-z])", "{lang}", score.rows)


def _revision_argument(form: Form, name: str) -> str:
    return f", {name}={quoted(form.revision)}" if form.revision else ""


def _code(facts: Facts, repo: str, form: Form) -> list[str]:
    """Returns the code that loads the run with the `adapters` library alone."""
    load = ["import adapters", "from adapters import AutoAdapterModel"]
    model = f"model = AutoAdapterModel.from_pretrained({_backbone(facts)})"
    if len(facts.adapters) == 1 and len(facts.heads) < 2:
        # Without use_safetensors the library loads pickles; with_head=True fails if there is no head
        arguments = ", use_safetensors=True" + ("" if facts.heads else ", with_head=False")
        return [
            *load,
            "",
            model,
            f"name = model.load_adapter({quoted(repo)}{_revision_argument(form, 'version')}{arguments})",
            "model.set_active_adapters(name)",
        ]
    lines = ["from huggingface_hub import snapshot_download", *load, "", model]
    lines += [
        f'folder = snapshot_download({quoted(repo)}{_revision_argument(form, "revision")}) + "/run"',
        f"for name in {list(facts.adapters)}:",
    ]
    lines += ['    adapter = f"{folder}/adapters/{name}"']
    lines += ["    model.load_adapter(adapter, load_as=name, with_head=False, use_safetensors=True)"]
    return [*lines, *_arrangement(facts)]


def _peft_code(facts: Facts, repo: str, form: Form) -> list[str]:
    """Returns the code that loads the run with PEFT alone."""
    head = form.head
    auto = form_of(head.kind if head else None, facts.backbone.model_type or "bert").auto
    lines = ["from peft import PeftModel", f"from transformers import {auto}", ""]
    # PEFT's files have no names of labels: they belong to the model
    arguments = ""
    if head and head.labels:
        lines += [f"labels = {list(head.labels)}"]
        arguments = ", num_labels=len(labels), id2label=dict(enumerate(labels))"
    lines += [f"model = {auto}.from_pretrained({_backbone(facts)}{arguments})"]
    return [
        *lines,
        f"model = PeftModel.from_pretrained(model, {quoted(repo)}{_revision_argument(form, 'revision')})",
    ]


def _backbone(facts: Facts) -> str:
    """Returns the backbone's Hub id as Python code, or a placeholder for its folder."""
    return quoted(facts.backbone.repo or "FOLDER_OF_THE_BACKBONE")


def _json(hyperparameters: Hyperparameters | None) -> Raw:
    """Returns the hyperparameters that are set, as JSON; "" if nothing was trained."""
    if hyperparameters is None:
        return Raw("")
    settings = hyperparameters.model_dump(mode="json", exclude_none=True)
    return Raw(json.dumps(settings, indent=2, sort_keys=True))


def _reference(citation: str) -> str:
    """Returns the paper of a citation key with its link; a custom task's citation is returned as it is."""
    # Only our own text is trusted Markdown
    return Raw(REFERENCES[citation]) if citation in REFERENCES else citation


def _arrangement(facts: Facts) -> Iterator[str]:
    """Yields the code that activates several adapters, or loads several heads."""
    parts = [f'"{name}"' for name in facts.setup.stack]
    if facts.setup.fused:
        fused = ", ".join(f'"{name}"' for name in facts.setup.fused)
        yield 'model.load_adapter_fusion(f"{folder}/fusion", use_safetensors=True)'
        parts.append(f"adapters.Fuse({fused})")
    several = len(facts.heads) > 1
    for head in facts.heads:
        path = f"heads/{head}" if several else "head"
        yield f'model.load_head(f"{{folder}}/{path}", load_as="{head}", use_safetensors=True)'
    yield f"model.set_active_adapters(adapters.Stack({', '.join(parts)}))"
    if facts.heads:
        yield f'model.active_head = "{next(iter(facts.heads))}"' + (
            "  # one for each task" if several else ""
        )
