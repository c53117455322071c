"""Repositories that do what none should: each is refused, the message says why, and nothing stays."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load, save

from adapterstilts import TrainingOptions, train_adapter
from adapterstilts.errors import HubError, StiltsError
from adapterstilts.hub import safety_checks
from adapterstilts.hub.layout import MALFORMED, Record
from adapterstilts.hub.publish import write
from adapterstilts.hub.pull import pull
from adapterstilts.hub.third_party import PullHints
from adapterstilts.store import Run, Store
from adapterstilts.tasks.lookup import get_task
from tests.hub.fake_hub.forging import REPO, WEIGHTS, Files, changed_json, forged, refused, signed, written
from tests.hub.fake_hub.server import Hub


class Explosive:
    """A pickle of it would make a file where it is loaded."""

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str, ...]]:
        return open, ("exploded", "w")


@pytest.fixture(scope="module")
def trained(tiny_backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    hyperparameters = {"max_steps": 2, "batch_size": 8}
    store = tmp_path_factory.mktemp("trained")
    given = TrainingOptions(
        store=store, backbone=str(tiny_backbone), limit=16, hyperparameters=hyperparameters, source="bundled"
    )
    return train_adapter("mini_nli", given)


@pytest.fixture(scope="module")
def files(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> Files:
    """The files of a repository as it should be."""
    folder = tmp_path_factory.mktemp("written") / "adapter"
    write(trained.id, "me/adapter", folder, trained.path.parent)
    return written(folder)


def test_as_it_should_be_it_is_taken(hub: Hub, me: Path, files: Files, trained: Run) -> None:
    hub.put("models", REPO, signed(files))
    assert pull(REPO, me).id == trained.id


@pytest.mark.parametrize(
    "name", ["pytorch_adapter.bin", "run/items.bin", "training_args.bin", "weights.pt", "x.PKL", "model.ckpt"]
)
def test_pickles(name: str, hub: Hub, me: Path, files: Files) -> None:
    refused(
        hub,
        me,
        signed({**files, name: pickle.dumps(Explosive())}),
        f"'{name}' can run code",
    )
    assert not hub.calls("GET", f"/resolve/.*{name}"), "it is not even downloaded"


def test_only_pickles(hub: Hub, me: Path, files: Files) -> None:
    foreign = {"adapter_config.json": files["adapter_config.json"], "pytorch_adapter.bin": b"\x80\x04."}
    hub.put("models", REPO, foreign)
    with pytest.raises(HubError, match=r"'pytorch_adapter\.bin' can run code"):
        pull(REPO, me, PullHints(task="mini_nli", backbone="me5-small"))
    given = PullHints(task="mini_nli", backbone="me5-small")
    with pytest.raises(HubError, match=r"neither adapter\.safetensors nor adapter_model\.safetensors"):
        pull(REPO, me, given, skip_others=True)


@pytest.mark.parametrize("name", ["modeling.py", "run/setup.sh", "libevil.so"])
def test_code(name: str, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, signed({**files, name: b"import os\n"}), f"'{name}' is code")


@pytest.mark.parametrize("place", ["adapter_config.json", "run/active_adapters.json", "head_config.json"])
def test_configurations_that_want_code(place: str, hub: Hub, me: Path, files: Files) -> None:
    content = changed_json(files[place], lambda data: data.update(auto_map={"AutoModel": "evil.Model"}))
    refused(hub, me, signed({**files, place: content}), f"{place} requires custom code")


@pytest.mark.parametrize(
    "name", ["run/extra.json", "model.safetensors", "run/adapters/a/b/adapter.json", "x"]
)
def test_files_that_no_adapter_has(name: str, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, signed({**files, name: b"{}"}), f"'{name}' is not a file of an adapter")


@pytest.mark.parametrize(
    "name",
    ["../../escaped.json", "run/../../escaped.json", "/etc/escaped.json", "run//job.json", "~/escaped.json",
     "run\\job.json", "C:escaped.json", "run/./job.json"],
)  # fmt: skip
def test_paths_that_lead_elsewhere(name: str, hub: Hub, me: Path, files: Files) -> None:
    hub.put("models", REPO, {**files, name: b"{}"})
    for skip in (False, True):
        with pytest.raises(HubError, match="is a path that leads out of its folder"):
            pull(REPO, me, skip_others=skip)
    assert not list(me.parent.rglob("escaped.json")) and list(Store(me).scan()) == []


def test_paths_inside_configurations(hub: Hub, me: Path, files: Files) -> None:
    """The names of adapters become folders: they may not lead elsewhere either."""
    setup = changed_json(
        files["run/active_adapters.json"], lambda data: data["adapters"].update(target="../../../escaped")
    )
    refused(hub, me, signed({**files, "run/active_adapters.json": setup}), "active_adapters.json")
    assert not list(me.parent.rglob("escaped*"))


def test_too_large_as_listed(hub: Hub, me: Path, files: Files) -> None:
    hub.put("models", REPO, files, listed_sizes={WEIGHTS: safety_checks.LARGEST[".safetensors"] + 1})
    with pytest.raises(HubError, match=r"adapter\.safetensors is 1,073,741,825 bytes"):
        pull(REPO, me)
    assert not hub.calls("GET", f"/resolve/.*{WEIGHTS}")


def test_another_size_than_listed(hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, files, r"adapter\.safetensors has \d+ bytes, not 7 as listed", **{WEIGHTS: 7})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite(value: float, hub: Hub, me: Path, files: Files) -> None:
    state = load(files[WEIGHTS])
    name = min(state)
    state[name] = state[name].clone()
    state[name].view(-1)[0] = value
    refused(hub, me, signed({**files, WEIGHTS: save(state)}), "holds NaN or infinity")


def test_weights_of_other_shapes(hub: Hub, me: Path, files: Files, tiny_backbone: Path) -> None:
    """The records beside the weights give them away even where the card was written anew."""
    state = {name: torch.zeros(4096, 64) for name in load(files[WEIGHTS])}
    refused(hub, me, signed({**files, WEIGHTS: save(state)}), "match the checksum in its manifest.json")


@pytest.mark.parametrize("name", [WEIGHTS, "model_head.safetensors", "run/job.json", "run/items.digests"])
def test_checksums_that_differ_from_the_cards(name: str, hub: Hub, me: Path, files: Files) -> None:
    content = bytearray(files[name])
    content[-1] = 32 if content[-1] == 10 else content[-1] ^ 1  # a space at the end leaves JSON as it was
    refused(hub, me, {**files, name: bytes(content)}, f"{name} does not match the SHA-256 in its card")


def test_a_file_that_is_missing(hub: Hub, me: Path, files: Files) -> None:
    for name in ("run/head/head.json", WEIGHTS):
        less = {each: content for each, content in files.items() if each != name}
        refused(hub, me, less, f"{name} is listed in its card, but is missing")
        refused(hub, me, signed(less), "of the run is missing")


def test_truncated_weights(hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, signed({**files, WEIGHTS: files[WEIGHTS][:-64]}), "damaged or truncated")


def test_another_backbone_than_its_own(hub: Hub, me: Path, files: Files) -> None:
    """The job of one backbone with the weights of another."""
    _, front, text = files["README.md"].decode().split("---\n", 2)
    data = yaml.safe_load(front)
    data["adapterstilts"]["backbone"]["fingerprint"] = "sha256:" + "0" * 64
    card = f"---\n{yaml.safe_dump(data)}---\n{text}".encode()
    refused(hub, me, {**files, "README.md": card}, "its card and its job name different backbones")


def test_a_job_that_was_changed(hub: Hub, me: Path, files: Files) -> None:
    job = changed_json(files["run/job.json"], lambda data: data.update(seed=7))
    refused(hub, me, signed({**files, "run/job.json": job}), "does not match the key in its card")
    newer = changed_json(files["run/job.json"], lambda data: data.update(schema_version=99))
    refused(hub, me, signed({**files, "run/job.json": newer}), "schema 99, not 2: another version")


@pytest.mark.parametrize(
    ("front", "message"),
    [
        ("adapterstilts: {run: a}\n", "key"),
        ("adapterstilts: [1, 2]\n", "README.md"),
        ("adapterstilts: {{}\n", "metadata of its card cannot be parsed"),
        (
            "adapterstilts: !!python/object/apply:open [exploded, w]\n",
            "metadata of its card cannot be parsed",
        ),
    ],
)
def test_cards_that_are_malformed(front: str, message: str, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, {**files, "README.md": f"---\n{front}---\n# x\n".encode()}, message)


@pytest.mark.parametrize("content", [b"[]", b"{", b"\xff", b'{"adapters": 1}', b"[" * 100_000])
def test_configurations_that_are_malformed(content: bytes, hub: Hub, me: Path, files: Files) -> None:
    refused(hub, me, signed({**files, "run/active_adapters.json": content}), "active_adapters.json")


def test_what_another_program_published_needs_its_task(hub: Hub, me: Path, files: Files) -> None:
    hub.put("models", REPO, {name: files[name] for name in ("adapter_config.json", WEIGHTS)})
    with pytest.raises(StiltsError, match=r"not published by adapterstilts.*--task"):
        pull(REPO, me)


def test_unexpected_files_can_be_left(hub: Hub, me: Path, files: Files, tiny_backbone: Path) -> None:
    names = ("adapter_config.json", WEIGHTS, "head_config.json", "model_head.safetensors")
    hub.put("models", REPO, {**{name: files[name] for name in names}, "training_args.bin": b"\x80\x04."})
    given = PullHints(task="mini_nli", backbone=str(tiny_backbone))
    with pytest.raises(HubError, match="Pass --skip-others to pull the rest"):
        pull(REPO, me, given)
    assert pull(REPO, me, given, skip_others=True).job.task == "mini_nli"
    assert not hub.calls("GET", "/resolve/.*training_args")


@pytest.mark.parametrize(
    "task", ["../evil", "X/../../evil", "/tmp/evil", "evil\0", "\x1b[31mevil", "evil" * 60, "", "é"]
)
def test_names_of_tasks_that_are_no_folders(task: str, hub: Hub, me: Path, files: Files) -> None:
    job = changed_json(files["run/job.json"], lambda data: data.update(task=task))
    refused(hub, me, forged({**files, "run/job.json": job}), "is not a valid task name")


def rows_of(origin: Any) -> Any:
    return origin["data"]["mini_nli"]["train"]


def forged_origin(files: Files, change: Callable[[Any], None]) -> Files:
    return forged({**files, "run/origin.json": changed_json(files["run/origin.json"], change)})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data["backbone"].update(name="you/evil"), "card and its origin.json name different"),
        (lambda data: data["backbone"].update(name="/etc"), "contains absolute paths"),
        (
            lambda data: rows_of(data).update(file="../../etc/passwd"),
            "contains absolute paths",
        ),
        (lambda data: data.clear(), "backbone: is missing"),
        (lambda data: data.update(tasks={"x": 3}), "is refused"),
        (lambda data: data.update(tasks={"sick": {"name": "../evil"}}), "is refused"),
        (lambda data: data.update(ancestors=3), "is refused"),
        (lambda data: data["ancestors"].update(files=[{"sha256": "x"}]), "is refused"),
        (lambda data: rows_of(data).update(sha256="0" * 64, slice="x"), "is refused"),
        (
            lambda data: rows_of(data).pop("slice") or rows_of(data).update(sha256="0" * 64),
            "is refused",
        ),
    ],
)
def test_origins_that_lie(
    change: Callable[[Any], None], message: str, hub: Hub, me: Path, files: Files
) -> None:
    refused(hub, me, forged_origin(files, change), message)


def test_of_an_origin_only_what_is_understood_is_kept(hub: Hub, me: Path, files: Files, trained: Run) -> None:
    """A task of ours cannot be defined anew, and no file or repository is read because an origin names it."""
    ours = get_task("mini_nli").model_dump(mode="json")
    theirs = {**ours, "licence": "MIT", "title": "x\n# Heading", "labels": ["a", "b", "c"], "base": "/etc"}
    more = {"tasks": {"mini_nli": {**theirs, "base": "etc"}}, "language_adapter": "you/{lang}", "x": {"y": 1}}
    hub.put("models", REPO, forged_origin(files, lambda data: data.update(more)))
    origin = json.loads(pull(REPO, me).file("origin.json").read_bytes())
    assert origin["tasks"] == {"mini_nli": ours} and origin["language_adapter"] is None
    assert origin.keys() == {
        "ancestors", "backbone", "data", "language_adapter", "pulled", "tasks",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("place", "change"),
    [
        ("run/active_adapters.json", lambda data: data["adapters"].pop("head")),
        ("run/active_adapters.json", lambda data: data.update(heads=[])),
        ("run/active_adapters.json", lambda data: data["heads"].update(more={"kind": "span", "labels": []})),
        ("run/active_adapters.json", lambda data: data["adapters"].update(head="another")),
        ("run/metrics.json", lambda data: data.update(dev="fine")),
        ("run/metrics.json", lambda data: data.update(dev=float("nan"))),
        ("run/metrics.json", lambda data: data.update(deep=[[[{"x": "y"}]]])),
    ],
)
def test_what_would_fail_later_is_refused_now(
    place: str, change: Callable[[Any], None], hub: Hub, me: Path, files: Files
) -> None:
    refused(hub, me, forged({**files, place: changed_json(files[place], change)}), "is refused")


def test_a_task_that_nothing_defines(hub: Hub, me: Path, files: Files) -> None:
    job = changed_json(files["run/job.json"], lambda data: data.update(task="nobodys"))
    refused(hub, me, forged({**files, "run/job.json": job}), "its task nobodys is not defined anywhere")


def test_a_licence_beside_is_no_harm(hub: Hub, me: Path, files: Files, trained: Run) -> None:
    hub.put("models", REPO, {**files, "LICENSE": b"MIT"})
    assert pull(REPO, me).id == trained.id


def test_hashes_of_items_that_are_cut(hub: Hub, me: Path, files: Files) -> None:
    place = "run/items.digests"
    refused(hub, me, forged({**files, place: files[place][:-3]}), "is refused")


def test_cards_that_are_bombs(hub: Hub, me: Path, files: Files, tmp_path: Path) -> None:
    """A billion strings by aliases; the Hub of these tests would write them out in its listing."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    bomb = "\n".join([*lines, "adapterstilts: {run: *a8, key: k, backbone: {}, sha256: {}}"])
    (tmp_path / "README.md").write_text(f"---\n{bomb}\n---\n", "utf-8")
    with pytest.raises(MALFORMED) as error:
        Record.read(tmp_path / "README.md")
    assert len(str(error.value)) < 1000
    refused(
        hub,
        me,
        {**files, "README.md": b"-" * (safety_checks.LARGEST_CARD + 1)},
        r"README\.md is .* bytes",
    )


def test_json_bombs(hub: Hub, me: Path, files: Files) -> None:
    deep = b'{"adapters": ' + b"[" * 900 + b"]" * 900 + b"}"
    refused(hub, me, signed({**files, "run/active_adapters.json": deep}), "active_adapters.json|Recursion")


def test_too_many_files(hub: Hub, me: Path, files: Files) -> None:
    many = {f"run/adapters/a{n}/adapter.json": b"{}" for n in range(safety_checks.MOST + 1)}
    refused(hub, me, signed({**files, **many}), "at most 200 files")


def test_a_foreign_adapter_of_another_backbone(
    hub: Hub, me: Path, files: Files, tiny_backbone: Path, tiny_xlmr: Path
) -> None:
    given = PullHints(task="mini_nli", backbone=str(tiny_backbone))
    own = {name: files[name] for name in ("adapter_config.json", WEIGHTS)}
    hub.put("models", "me/tiny-bert", {path.name: path.read_bytes() for path in tiny_backbone.iterdir()})
    named = changed_json(own["adapter_config.json"], lambda data: data.update(model_name="bert-base-cased"))
    hub.put("models", REPO, {**own, "adapter_config.json": named})
    with pytest.raises(StiltsError, match="trained on bert-base-cased, not me/tiny-bert"):
        pull(REPO, me, PullHints(task="mini_nli", backbone="me/tiny-bert"))
    silent = changed_json(own["adapter_config.json"], lambda data: data.pop("hidden_size"))
    hub.put("models", REPO, {**own, "adapter_config.json": silent})
    with pytest.raises(StiltsError, match="lacks the backbone's hidden_size"):
        pull(REPO, me, given)
    hub.put("models", REPO, own)
    with pytest.raises(StiltsError, match="model type is bert"):
        pull(REPO, me, PullHints(task="mini_nli", backbone=str(tiny_xlmr)))
    assert list(Store(me).scan()) == []
