"""Golden files: keys of jobs, files of runs, keys of a grid config, and a card, as they are published.

These names are stable: stores, grid configs and published adapters of users depend on them. A change that
fails here breaks them, so it needs a higher schema version (`job.SCHEMA`), not only a new golden file. To
write the files after such a change, set ADAPTERSTILTS_WRITE_GOLDEN=1.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from adapterstilts import Options, compose, evaluate, train_adapter
from adapterstilts.composition import Average
from adapterstilts.grid.availability import DataSearch, find_scopes
from adapterstilts.grid.config import GridConfig
from adapterstilts.grid.plan import expand
from adapterstilts.grid.records import Cost, Records
from adapterstilts.hub.publish import write
from adapterstilts.hyperparameters import Hyperparameters
from adapterstilts.job import EvalJob, TrainJob
from adapterstilts.kinds.registry import encoding_for
from adapterstilts.store import Run
from adapterstilts.tasks.lookup import get_task
from adapterstilts.values import canonical

FOLDER = Path(__file__).parent
# Files whose keys belong to the `adapters` library.
LIBRARY_FILES = ("adapter_config.json", "head_config.json")


def check(name: str, text: str) -> None:
    """Compares a text with its golden file."""
    path = FOLDER / name
    if os.environ.get("ADAPTERSTILTS_WRITE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    assert text == path.read_text("utf-8")


def as_json(value: Any) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def keys_of(value: Any) -> Any:
    """The keys at every depth; lists are represented by their first item, and other values by null.

    The settings of an adapter are named by the `adapters` library, so their keys are no part of it.
    """
    if isinstance(value, Mapping) and "original_ln_before" not in value:
        return {key: keys_of(item) for key, item in sorted(value.items())}
    if isinstance(value, list) and value and isinstance(value[0], Mapping):
        return [keys_of(value[0])]
    return None


@pytest.fixture(scope="module")
def trained(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, Options]:
    """A training of three steps in fp32, with evaluations in two languages."""
    options = Options(
        store=tmp_path_factory.mktemp("golden") / "checkpoints",
        backbone=str(tiny_backbone),
        limit=24,
        hyperparameters={"max_steps": 3, "batch_size": 8, "precision": "fp32"},
        source="bundled",
    )
    return train_adapter("mini_nli", options), options


@pytest.fixture(scope="module")
def evaluated(trained: tuple[Run, Options]) -> Mapping[str, Run]:
    run, options = trained
    (evaluation,) = evaluate(run.id, "mini_nli", ["en", "de"], options)
    return evaluation.runs


def test_jobs_and_their_keys() -> None:
    task = get_task("mini_nli")
    training = TrainJob(
        task=task.name,
        task_version=task.version,
        backbone="hub:0123",
        data={"train": "sha256:45", "dev": "sha256:67"},
        adapter={"architecture": None, "reduction_factor": 16},
        hyperparameters=Hyperparameters(precision="fp32"),
        encoding=encoding_for(task, "en", {}).model_dump(mode="json"),
        composition=Average(sources=("8" * 64, "9" * 64), weights=(0.25, 0.75)),
        language_adapter="ab",
        languages=("de", "sw"),
        seed=7,
    )
    evaluation = EvalJob(
        run=training.key,
        task="xnli",
        task_version=1,
        split="test",
        language="sw",
        backbone="hub:0123",
        data="sha256:cd",
        encoding=encoding_for(get_task("xnli"), "sw", {}).model_dump(mode="json"),
        precision="fp32",
    )
    jobs = [
        {"key": job.key, "folder": f"{job.slug}-{job.key[:12]}", "job": json.loads(canonical(job))}
        for job in (training, evaluation)
    ]
    check("jobs.json", as_json(jobs))


def test_job_specs_of_a_grid() -> None:
    grid_config = GridConfig.model_validate(
        {
            "targets": "mini_paraphrase",
            "intermediate": "mini_nli",
            "languages": ["de"],
            "limits": {"train": 100},
            "hyperparameters": {"epochs": 1, "precision": "fp32"},
        }
    )
    plan = expand(grid_config, *find_scopes(grid_config, DataSearch()))
    jobs = {
        job.name: {"digest": job.digest, "settings": job.settings.model_dump(mode="json")}
        for job in plan.jobs()
    }
    check("job_specs.json", as_json(jobs))


def test_files_of_runs(trained: tuple[Run, Options], evaluated: Mapping[str, Run]) -> None:
    training, options = trained
    stacked = compose("mini_paraphrase", "stack", [training.id], options)
    runs = {"train": training, "evaluate": evaluated["de"]}
    files = {name: files_of(run) for name, run in runs.items()}
    names = sorted(str(path.relative_to(stacked.path)) for path in stacked.path.rglob("*") if path.is_file())
    files["stack"] = dict.fromkeys(name.replace(training.key[:8], "SOURCE") for name in names)
    check("files.json", as_json(files))


def files_of(run: Run) -> dict[str, Any]:
    """The files of a run, with the keys of those in JSON."""
    files: dict[str, Any] = {}
    for path in sorted(path for path in run.path.rglob("*") if path.is_file()):
        name = str(path.relative_to(run.path))
        if path.name == "manifest.json":
            files[name] = {"files": {"NAME": {"sha256": None, "size": None}}}
        elif path.name in LIBRARY_FILES or path.suffix not in (".json", ".jsonl"):
            files[name] = None
        else:
            lines = (
                path.read_text("utf-8").splitlines() if path.suffix == ".jsonl" else [path.read_text("utf-8")]
            )
            files[name] = keys_of({key: value for line in lines for key, value in json.loads(line).items()})
    return files


def test_records_of_a_grid(trained: tuple[Run, Options]) -> None:
    run, options = trained
    grid_config = GridConfig.model_validate({"targets": "mini_nli", "backbones": options.backbone})
    job = next(iter(expand(grid_config, *find_scopes(grid_config, DataSearch())).jobs()))
    records = Records(options.store)
    records.record_result(job, run, Cost(1.0, 24))
    path = records.record_file(job.digest)
    failure = records.record_failure(job, "message", "traceback")
    contents = {
        str(path.relative_to(options.store))
        .replace(job.digest, "DIGEST")
        .replace(job.digest[:2], "DI"): keys_of(json.loads(path.read_text("utf-8")))
        for path in (path, records.failure_file(failure.digest))
    }
    check("records.json", as_json(contents))


def test_keys_of_a_grid_config() -> None:
    schema = GridConfig.model_json_schema()
    check("grid_config.yaml", yaml.safe_dump(_example(schema, schema["$defs"]), sort_keys=False, width=1000))


def _example(schema: Mapping[str, Any], definitions: Mapping[str, Any]) -> Any:
    """All keys that a schema permits, with their defaults as values."""
    if "$ref" in schema:
        return _example(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    if "properties" in schema:
        return {name: _example(field, definitions) for name, field in schema["properties"].items()}
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return {"NAME": _example(schema["additionalProperties"], definitions)}
    if schema.get("type") == "array" and "$ref" in schema.get("items", {}):
        return [_example(schema["items"], definitions)]
    return schema.get("default", "REQUIRED")


def test_card(trained: tuple[Run, Options], evaluated: Mapping[str, Run], tmp_path: Path) -> None:
    run, options = trained
    text = write(run.id, "me/example", tmp_path / "published", options.store).card
    text = text.replace(Path(options.backbone).name, "BACKBONE").replace(run.id, "RUN")
    text = re.sub(r"\b(?:[0-9a-f]{64}|[0-9a-f]{12,16})\b", "HASH", text)
    # Scores and versions of libraries differ between machines.
    check("card.md", re.sub(r"\d+\.\d+(\.\d+)?", "N", text))
