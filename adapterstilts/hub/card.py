"""The model card of a run: the Hub's metadata and a text for people, both from the same facts."""

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
from adapterstilts.hub.card_data import Facts, Score, trained
from adapterstilts.hub.layout import KEY, places
from adapterstilts.hub.lora_tensors import form_of
from adapterstilts.hub.markdown import Raw, code, one_line, plain, quoted, shell
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.model.backbone import HUB_ID
from adapterstilts.store.origin import TrainOrigin
from adapterstilts.tasks.citations import REFERENCES
from adapterstilts.tasks.spec import Metric, Task

LISTED = "adapter-transformers"  # the tag by which the Hub knows adapters of the `adapters` library
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?")  # as the Hub takes it
METRICS = {"em": "exact_match", "map20": "map_at_20"}  # where the Hub's name is another
HEADLINES: Mapping[Metric, str] = {
    "accuracy": "accuracy",
    "f1": "F1",
    "em_f1": "mean of exact match and F1",
    "map20": "mAP@20",
}
COMPOSITIONS = {
    "single": "one adapter",
    "sequential": "one adapter that was started from another one's weights",
    "stack": "a new adapter on top of a frozen one",
    "fuse": "an AdapterFusion layer over frozen adapters",
    "average": "one adapter that was started from the mean of others",
}


@dataclass(frozen=True)
class Form:
    """Whose files stand at the top of a repository.

    Attributes:
        name: adapters, or peft.
        revision: the branch that it is published on; None is the main one.
        head: of PEFT's form, the head that goes along.
    """

    name: Literal["adapters", "peft"] = "adapters"
    head: HeadSpec | None = None
    revision: str | None = None


def card(facts: Facts, repo: str, form: Form, checksums: Mapping[str, str]) -> str:
    """The text of a run's card, metadata included.

    Args:
        repo: where it is published.
        checksums: SHA-256 (hex) of every other file of the repository, by its path there.
    """
    data = metadata(facts, repo, form, checksums)
    text = resources.files("adapterstilts.hub").joinpath("card.md").read_text("utf-8")
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, autoescape=False, finalize=plain
    )
    environment.filters.update(code=code, cell=partial(code, table=True), shell=shell)
    body = environment.from_string(text).render(_said(facts, repo, form))
    return f"---\n{data.to_yaml()}\n---\n\n{body}"


def metadata(facts: Facts, repo: str, form: Form, checksums: Mapping[str, str]) -> ModelCardData:
    """What the Hub reads: what kind of thing it is, its data, licence and results."""
    task = facts.tasks[0]
    datasets = sorted({credit.dataset for credit in facts.credits if credit.dataset})
    spoken = set() if facts.text_alone else {"en"}
    named = {*spoken, *facts.job.languages, *(each.language for each in facts.scores)}
    languages = sorted(code for code in named if LANGUAGE.fullmatch(code))
    kind = [LISTED] if form.name == "adapters" else ["peft", "lora"]
    tags = [*kind, KEY, *filter(None, [facts.backbone.model_type]), *(each.name for each in facts.tasks)]
    tags = [one_line(tag, 100) for tag in tags]
    record = {
        "run": facts.run.id,
        "key": facts.run.key,
        "backbone": {
            "name": one_line(facts.backbone.name),
            "fingerprint": one_line(facts.backbone.fingerprint),
        },
        "sha256": dict(sorted(checksums.items())),
    }
    base = facts.backbone.repo if HUB_ID.fullmatch(facts.backbone.repo or "") else None
    return ModelCardData(
        base_model=base,
        base_model_relation="adapter" if base else None,
        datasets=[each for each in datasets if HUB_ID.fullmatch(each)] or None,
        language=languages,
        library_name=form.name,
        license=facts.licence.id,
        license_name=facts.licence.name,
        metrics=sorted({_metric(name) for score in facts.scores for name in score.metrics}) or None,
        model_name=one_line(repo.rpartition("/")[2]),
        pipeline_tag=task.kind_spec.pipeline_tag if facts.heads else None,
        tags=tags,
        eval_results=list(_results(facts.scores)) or None,
        **{KEY: record},
    )


def _metric(name: str) -> str:
    return METRICS.get(name, name)


def _results(scores: Sequence[Score]) -> Iterator[EvalResult]:
    """The model index: every metric of every task and language, in percent."""
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


def _said(facts: Facts, repo: str, form: Form) -> dict[str, Any]:
    """What the template fills in."""
    job, peft = facts.job, form.name == "peft"
    return {
        "repo": repo,
        "reference": f"{repo}@{form.revision}" if form.revision else repo,
        "learnt": _learnt(facts),
        "form": form.name,
        "facts": facts,
        "run": facts.run,
        "job": job,
        "title": trained(facts.tasks),
        "composition": COMPOSITIONS[job.composition.kind],
        "hyperparameters": _json(job.hyperparameters),
        "settings": job.adapter,
        "data": [
            {**credit.model_dump(), "reference": _reference(credit.citation)} for credit in facts.credits
        ],
        "files": list(_files(facts.origin)),
        "chosen": any(rows.get("kind") == "file" for rows in _training(facts.origin)),
        "embedded": facts.backbone.commit is None and facts.backbone.repo is not None,
        "tables": list(_tables(facts.scores)),
        "leaks": [score for score in facts.scores if score.leaked],
        "code": Raw("\n".join(_peft_code(facts, repo, form) if peft else _code(facts, repo, form))),
        "merge": f"adapterstilts merge {facts.run.id} --out FOLDER",
        "merged": facts.method == "lora" and len(facts.adapters) == 1,
    }


def _learnt(facts: Facts) -> str:
    """What it was trained on, in words."""
    languages = ", ".join(facts.job.languages)
    if "published" in facts.job.data:
        assert facts.origin.pulled is not None  # "published" data: another program trained it
        return f"by others (taken from {facts.origin.pulled.repo})"
    if facts.text_alone:
        return f"on plain text in {languages}"
    found = (
        "on English and translated data"
        if any("translated" in splits for splits in facts.origin.data.values())
        else "on English data"
    )
    return f"{found} and plain text in {languages}" if languages else found


def _training(origin: TrainOrigin) -> list[Mapping[str, Any]]:
    """Where the training rows came from."""
    records = origins(origin.data)
    return [each for each in records if "rows" in each and ("file" in each or "repo" in each)]


def _files(origin: TrainOrigin) -> Iterator[Raw]:
    """Where the training rows were read from, in words."""
    for rows in _training(origin):
        where = rows.get("repo") or rows["file"]
        commit = f" at commit {plain(rows['commit'])}" if rows.get("commit") else ""
        part = plain(", rows {}-{}".format(*rows["slice"])) if rows.get("slice") else ""
        limit = plain(f", a subsample with seed {rows['seed']}") if rows.get("limit") else ""
        yield Raw(f"{code(where)}{commit}{part}{limit}: {plain(rows['rows'])} rows")


def _tables(scores: Sequence[Score]) -> Iterator[dict[str, Any]]:
    """A table for each task and split."""
    groups: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        groups.setdefault((score.task.name, score.split), []).append(score)
    for own in groups.values():
        task: Task = own[0].task
        others = [score.headline for score in own if score.language != "en"]
        yield {
            "task": task,
            "rows": sorted({_in_any(score) for score in own}),
            "metric": HEADLINES[task.metric],
            "scores": own,
            "count": len(others),
            "mean": sum(others) / len(others) if others else None,
        }


def _in_any(score: Score) -> str:
    """Which rows were scored, with `{lang}` for the language."""
    return re.sub(rf"(?<![A-Za-z]){re.escape(score.language)}(?![A-Za-z])", "{lang}", score.rows)


def _at(form: Form, name: str) -> str:
    return f", {name}={quoted(form.revision)}" if form.revision else ""


def _code(facts: Facts, repo: str, form: Form) -> list[str]:
    """The lines that load it with the `adapters` library alone."""
    load = ["import adapters", "from adapters import AutoAdapterModel"]
    model = f"model = AutoAdapterModel.from_pretrained({_backbone(facts)})"
    if len(facts.adapters) == 1 and len(facts.heads) < 2:
        wanted = ", use_safetensors=True" + ("" if facts.heads else ", with_head=False")
        return [
            *load,
            "",
            model,
            f"name = model.load_adapter({quoted(repo)}{_at(form, 'version')}{wanted})",
            "model.set_active_adapters(name)",
        ]
    lines = ["from huggingface_hub import snapshot_download", *load, "", model]
    lines += [
        f'folder = snapshot_download({quoted(repo)}{_at(form, "revision")}) + "/run"',
        f"for name in {list(facts.adapters)}:",
    ]
    lines += ['    adapter = f"{folder}/adapters/{name}"']
    lines += ["    model.load_adapter(adapter, load_as=name, with_head=False, use_safetensors=True)"]
    return [*lines, *_arrangement(facts)]


def _peft_code(facts: Facts, repo: str, form: Form) -> list[str]:
    """The lines that load it with PEFT alone; names of labels belong to the model, not to PEFT's files."""
    head = form.head
    auto = form_of(head.kind if head else None, facts.backbone.model_type or "bert").auto
    lines = ["from peft import PeftModel", f"from transformers import {auto}", ""]
    given = ""
    if head and head.labels:
        lines += [f"labels = {list(head.labels)}"]
        given = ", num_labels=len(labels), id2label=dict(enumerate(labels))"
    lines += [f"model = {auto}.from_pretrained({_backbone(facts)}{given})"]
    return [*lines, f"model = PeftModel.from_pretrained(model, {quoted(repo)}{_at(form, 'revision')})"]


def _backbone(facts: Facts) -> str:
    """The backbone's Hub id as Python code, or what stands for its folder."""
    return quoted(facts.backbone.repo or "FOLDER_OF_THE_BACKBONE")


def _json(hyperparameters: Hyperparameters | None) -> Raw:
    """The hyperparameters that are set, as JSON; "" where nothing was trained."""
    if hyperparameters is None:
        return Raw("")
    settings = hyperparameters.model_dump(mode="json", exclude_none=True)
    return Raw(json.dumps(settings, indent=2, sort_keys=True))


def _reference(citation: str) -> str:
    """The paper of a citation key, with its link; of anybody's own task the text that was given."""
    known = citation in REFERENCES
    return Raw(REFERENCES[citation]) if known else citation


def _arrangement(facts: Facts) -> Iterator[str]:
    """The lines that put several adapters, or several heads, in their places."""
    parts = [f'"{name}"' for name in facts.setup.stack]
    if facts.setup.fused:
        fused = ", ".join(f'"{name}"' for name in facts.setup.fused)
        yield 'model.load_adapter_fusion(f"{folder}/fusion", use_safetensors=True)'
        parts.append(f"adapters.Fuse({fused})")
    several = len(facts.heads) > 1
    for head in facts.heads:
        place = f"heads/{head}" if several else "head"
        yield f'model.load_head(f"{{folder}}/{place}", load_as="{head}", use_safetensors=True)'
    yield f"model.set_active_adapters(adapters.Stack({', '.join(parts)}))"
    if facts.heads:
        yield f'model.active_head = "{next(iter(facts.heads))}"' + (
            "  # one for each task" if several else ""
        )


def checked_places(facts: Facts, files: Sequence[str], form: Form) -> dict[str, str]:
    """Path in the run -> path in the repository (`layout.places`); of a PEFT repository all under `run/`."""
    alone = len(facts.adapters) == 1 and len(facts.heads) < 2 and form.name == "adapters"
    return places(files, 1 if alone else 0)
