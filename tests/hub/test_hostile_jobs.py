"""Runs whose job says something else than their files: signed anew, so that only the sense is wrong."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load, save

from adapterstilts.hub.publish import write
from adapterstilts.hub.pull import pull
from adapterstilts.values import digest
from tests.hub.conftest import Runs
from tests.hub.fake_hub.forging import REPO, WEIGHTS, Files, changed_json, forged, refused, written
from tests.hub.fake_hub.server import Hub

KEY = "0123456789abcdef" * 4
LORA = {
    "architecture": "lora", "selfattn_lora": True, "intermediate_lora": False, "output_lora": False,
    "leave_out": [], "r": 10**9, "alpha": 8.0, "dropout": 0.0, "attn_matrices": ["q", "v"],
    "composition_mode": "add", "init_weights": "lora", "use_gating": False,
}  # fmt: skip
Change = Callable[[Any], Any]


@pytest.fixture(scope="module")
def repositories(trained: Runs, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Files]:
    """The files of each form of run, as they are published."""
    repositories = {}
    for name, run in trained.items():
        folder = tmp_path_factory.mktemp("written") / name
        write(run.id, f"me/{name}", folder, run.path.parent)
        repositories[name] = written(folder)
    return repositories


@pytest.fixture
def files(repositories: dict[str, Files]) -> Files:
    return repositories["single"]


@pytest.mark.parametrize("name", ["single", "qa", "sequential", "stack", "fuse", "several"])
def test_honest_runs_are_taken_and_say_where_they_came_from(
    name: str, hub: Hub, me: Path, repositories: dict[str, Files], trained: Runs
) -> None:
    hub.put("models", REPO, forged(repositories[name]))
    run = pull(REPO, me)
    assert run.id == trained[name].id
    source = run.pulled
    assert source is not None and source.repo == REPO


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda job: job.update(adapter=LORA), "the adapter in its job is architecture lora, r 10+,"),
        (
            lambda job: job["adapter"].update(reduction_factor=2.0),
            "factor 2.0, .*but it is .* 16.0",
        ),
        (lambda job: job.update(adapter={}), "the adapter configuration in its job is incomplete"),
        (lambda job: job["adapter"].pop("dropout"), "the adapter configuration in its job is incomplete"),
        (lambda job: job["adapter"].update(reduction_factor=1e-6), "reduction_factor"),
        (
            lambda job: job.update(composition={"kind": "stack", "sources": [KEY]}),
            "composition is 'stack', but",
        ),
        (lambda job: job.update(composition={"kind": "fuse", "sources": [KEY, KEY[::-1]]}), "is 'fuse', but"),
        (
            lambda job: job.update(composition={"kind": "stack", "sources": ["../evil"]}),
            "sources that are not keys",
        ),
        (lambda job: job.update(hyperparameters=None), "job must have hyperparameters if"),
        (lambda job: job["hyperparameters"].update(precision="auto"), "does not name the precision"),
        (lambda job: job["hyperparameters"].update(task_cap=5), "task_cap has an effect only when"),
        (
            lambda job: job["hyperparameters"].update(max_steps=1),
            "trained for 3 steps, but its maximum is 1",
        ),
        (lambda job: job["hyperparameters"].update(epochs="many"), "hyperparameters"),
        (lambda job: job.update(encoding={}), "does not have one encoding for each of its tasks"),
        (lambda job: job.update(encoding={"max_length": "64"}), "the encoding in its job is incomplete"),
        (lambda job: job["encoding"].update(max_length=-5), "max_length"),
        (lambda job: job["encoding"].update(more=1), "unknown encoding key"),
        (lambda job: job.update(seed=10**30), "the seed in its job is out of range"),
        (lambda job: job.update(seed=-1), "the seed in its job is out of range"),
        (lambda job: job.update(data={"../evil": ""}), "data in its job is not a split of its task"),
        (lambda job: job["data"].update(train="<script>"), "its job has a malformed fingerprint"),
        (lambda job: job.update(languages=["sw"]), "must name languages if it trains on plain text"),
        (
            lambda job: job.update(language_adapter="0" * 64),
            "only one of its job and its setup names a language adapter",
        ),
        (lambda job: job.update(task="mini_paraphrase"), "its head mini_nli does not fit its task"),
        (
            lambda job: job.update(task="mini_nli+mini_ner"),
            "is not a split of its task|does not have one encoding",
        ),
        (lambda job: job.update(task="mini_retrieval"), "is refused"),
    ],
)
def test_jobs_that_lie(change: Change, message: str, hub: Hub, me: Path, files: Files) -> None:
    job = changed_json(files["run/job.json"], change)
    refused(hub, me, forged({**files, "run/job.json": job}), message)


def test_another_composition_than_the_files_are_of(
    hub: Hub, me: Path, repositories: dict[str, Files]
) -> None:
    """Also where the origin names what it was built on, as that of a composition does."""
    for name, kind, message in (
        ("stack", "sequential", "its composition is 'sequential', but its setup has 1 adapters below"),
        ("sequential", "stack", "its composition is 'stack', but its setup has 0 adapters below"),
    ):
        files = repositories[name]
        job = changed_json(
            files["run/job.json"], lambda data, kind=kind: data["composition"].update(kind=kind)
        )  # type: ignore[misc]
        refused(hub, me, forged({**files, "run/job.json": job}), message)
    fuse = repositories["fuse"]
    swapped = changed_json(fuse["run/job.json"], lambda data: data["composition"]["sources"].reverse())
    refused(hub, me, forged({**fuse, "run/job.json": swapped}), "is not the source .* that its job names")
    settings = changed_json(fuse["run/job.json"], lambda data: data.update(adapter=LORA))
    refused(hub, me, forged({**fuse, "run/job.json": settings}), "a fusion trains none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda setup: setup["heads"].update({"../../evil": setup["heads"]["mini_nli"]}),
            "not a valid adapter or head name",
        ),
        (
            lambda setup: setup.update(heads={"/tmp/evil": setup["heads"]["mini_nli"]}),
            "not a valid adapter or head name",
        ),
        (lambda setup: setup["heads"]["mini_nli"].update(labels=["a", "b", "c"]), "does not fit its task"),
        (lambda setup: setup["heads"]["mini_nli"].update(kind="span"), "does not fit its task"),
        (lambda setup: setup["heads"]["mini_nli"].update(evil=1), "unknown head key"),
        (lambda setup: setup["adapters"].update(head=None), "its setup and its heads do not fit"),
        (lambda setup: setup["adapters"].update(below="ab"), "active_adapters.json is damaged"),
        (lambda setup: setup["adapters"].update(below=["mini_nli"]), "1 adapters below"),
        (lambda setup: setup["adapters"].update(language=3), "active_adapters.json"),
        (lambda setup: setup["adapters"].update(evil=1), "unknown adapters key"),
    ],
)
def test_setups_that_lie(change: Change, message: str, hub: Hub, me: Path, files: Files) -> None:
    setup = changed_json(files["run/active_adapters.json"], change)
    refused(hub, me, forged({**files, "run/active_adapters.json": setup}), message)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda metrics: metrics.clear(), "number of training steps"),
        (
            lambda metrics: metrics.update(steps=10**9),
            "trained for 1000000000 steps",
        ),
        (lambda metrics: metrics.update(steps=1.5), "steps has an invalid value"),
        (lambda metrics: metrics.update(best_step=99), "number of training steps"),
        (lambda metrics: metrics.update(dev=[1]), "dev"),
        (lambda metrics: metrics.update(dev={"score": [1]}), "dev"),
        (lambda metrics: metrics.update(fusion_attention=[[1.0]]), "another composition"),
        (lambda metrics: metrics.update(fusion_attention=3), "fusion_attention"),
    ],
)
def test_metrics_that_lie(change: Change, message: str, hub: Hub, me: Path, files: Files) -> None:
    metrics = changed_json(files["run/metrics.json"], change)
    refused(hub, me, forged({**files, "run/metrics.json": metrics}), message)


def recorded(content: bytes, change: Change) -> bytes:
    """A record with a digest of its own that fits."""
    record = json.loads(content)["record"]
    change(record)
    return json.dumps({"record": record, "digest": digest(record)}).encode()


RECORD = "run/adapters/mini_nli/adapter.json"
CONFIG = "adapter_config.json"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda record: record["spec"]["config"].update(reduction_factor=2.0),
            "the record and the conf",
        ),
        (lambda record: record.update(hidden_size=10**9), "different encoders"),
        (lambda record: record.update(layers=10**9), "describes an impossible encoder"),
        (lambda record: record.update(layers=3), "differ in layer 2, output"),
        (lambda record: record.update(backbone="sha256:" + "0" * 64), "belongs to another backbone"),
        (lambda record: record.update(sha256="0" * 64), "SHA-256 differs"),
    ],
)
def test_records_that_lie(change: Change, message: str, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, forged({**files, RECORD: recorded(files[RECORD], change)}), message)


def with_settings(files: Files, settings: dict[str, Any]) -> Files:
    """The configuration, the record and the job all say the same other settings."""
    config = changed_json(files[CONFIG], lambda data: data["config"].update(settings))
    record = recorded(files[RECORD], lambda data: data["spec"]["config"].update(settings))
    job = changed_json(files["run/job.json"], lambda data: data["adapter"].update(settings))
    return forged({**files, CONFIG: config, RECORD: record, "run/job.json": job})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"reduction_factor": 2.0},
            r"has the shape \(2, 32\), but the configuration requires size 16 in dimension 1",
        ),
        ({"reduction_factor": 0.001}, "the configuration requires size 31999 in dimension 1"),
        ({"mh_adapter": True}, "differ in layer 0, attention"),
        ({"leave_out": [1]}, "differ in layer 1, output"),
    ],
)
def test_settings_that_the_tensors_do_not_have(
    settings: dict[str, Any], message: str, hub: Hub, me: Path, files: Files
) -> None:
    refused(hub, me, with_settings(files, settings), message)


def with_weights(files: Files, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Files:
    """Other tensors, with a record that has their checksum."""
    content = save(change({name: tensor.clone() for name, tensor in load(files[WEIGHTS]).items()}))
    return forged({**files, WEIGHTS: content, RECORD: recorded(files[RECORD], _checksum(content))})


def _checksum(content: bytes) -> Change:
    return lambda record: record.update(sha256=sha256(content).hexdigest())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: {name: value.double() for name, value in state.items()}, "is of type 'F64'"),
        (lambda state: {name: value.to(torch.float8_e4m3fn) for name, value in state.items()}, "'F8_E4M3'"),
        (lambda state: {name: torch.tensor(1.0) for name in state}, "is a single number"),
        (lambda state: {name: value.T.contiguous() for name, value in state.items()}, "has the shape"),
        (
            lambda state: {name.replace("adapters", "loras"): value for name, value in state.items()},
            "no tensor",
        ),
        (lambda state: {}, "no tensor"),
    ],
)
def test_tensors_that_are_not_the_jobs(
    change: Callable[[Any], Any], message: str, hub: Hub, me: Path, files: Files
) -> None:
    refused(hub, me, with_weights(files, change), message)


def test_a_head_of_other_outputs(hub: Hub, me: Path, files: Files) -> None:
    head, record = "model_head.safetensors", "run/head/head.json"
    for change, message in (
        (lambda value: value[:1], "its head mini_nli should have 3 outputs"),
        (lambda value: torch.tensor(0.5), "is a single number"),
    ):
        content = save({name: change(value).clone() for name, value in load(files[head]).items()})
        changed = {**files, head: content, record: recorded(files[record], _checksum(content))}
        refused(hub, me, forged(changed), message)
