"""A killed training goes on and ends with the same bytes: every composition, several tasks, plain text."""

import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import pytest

from adapterstilts.store import Store
from tests.grid.test_kill import without_times

SERVER = multiprocessing.get_context("forkserver")
LAZY = [
    "transformers.models.bert.modeling_bert",
    "adapters.models.bert.adapter_model",
]  # imported on first use
SERVER.set_forkserver_preload(["adapterstilts.run.train", "adapters", "pyarrow", *LAZY])
RECIPE = {"max_steps": 30, "batch_size": 8, "eval_every": 12, "dev_rows": 24}


def options(store: Path, backbone: Path, **changes):
    from adapterstilts import TrainingOptions

    settings = {
        "backbone": str(backbone),
        "store": store,
        "source": "bundled",
        "limit": 120,
        "checkpoint_steps": 3,
    }
    return TrainingOptions(**{**settings, "hyperparameters": RECIPE, **changes})


def work(target, kind, sources, given):
    """What a child process does: one compose call."""
    from adapterstilts import compose
    from adapterstilts.composition import make

    compose(target, make(kind, sources), given)


def bytes_of(folder: Path) -> dict[str, object]:
    """Everything that is a result; of the log and the manifest (which covers it) all that is no time."""
    names = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {str(path.relative_to(folder)): without_times(path) for path in names}


def stamp(store: Path) -> float:
    """When the newest checkpoint was written, 0 if there is none."""
    found = [path.stat().st_mtime_ns for path in store.glob(".work/*/checkpoint.safetensors")]
    return max(found, default=0)


def kill_after(checkpoints: int, delay: float, store: Path, *call) -> bool:
    """Starts a call and kills it after so many checkpoints; whether it was still running."""
    child = SERVER.Process(target=work, args=call)
    child.start()
    seen, count = stamp(store), 0
    while child.is_alive() and count < checkpoints:
        time.sleep(0.002)
        now = stamp(store)
        count, seen = count + (now != seen), now
    time.sleep(delay)
    alive = child.is_alive()
    if alive:
        os.kill(child.pid, signal.SIGKILL)
    child.join()
    return alive


WORDS = "the cat saw Anna in green house and a big dog went to Berlin because it was not red".split()
TEXT = {"mlm": "sw.txt", "mlm_languages": ("sw",)}
CASES = [
    ("bottleneck", "mini_nli", "single", [], {"config": "seq_bn"}),
    ("lora", "mini_nli", "single", [], {"config": "lora"}),
    ("stack", "mini_paraphrase", "stack", ["mini_nli"], {"config": "seq_bn"}),
    ("fusion", "mini_paraphrase", "fuse", ["mini_nli", "mini_ner"], {}),
    ("several tasks and text", "mini_nli+mini_ner", "single", [], TEXT),
    ("text", "mlm", "single", [], TEXT),
]


@pytest.mark.parametrize(
    ("name", "target", "kind", "sources", "changes"), CASES, ids=[case[0] for case in CASES]
)
def test_killed_training_ends_with_the_same_bytes(
    name, target, kind, sources, changes, tiny_backbone, tmp_path
):
    from adapterstilts import compose, train_adapter
    from adapterstilts.composition import make

    if "mlm" in changes:
        changes = {**changes, "mlm": str(tmp_path / "sw.txt"), "source": "auto"}
        lines = [" ".join(random.Random(n).choices(WORDS, k=12)) for n in range(150)]
        (tmp_path / "sw.txt").write_text("\n".join(lines), encoding="utf-8")
    quick = {**RECIPE, "max_steps": 3}
    stores = [tmp_path / "undisturbed", tmp_path / "killed"]
    ids = []
    for store in stores:
        ids = [
            train_adapter(source, options(store, tiny_backbone, hyperparameters=quick)).id
            for source in sources
        ]
    given = [options(store, tiny_backbone, **changes) for store in stores]
    whole = compose(target, make(kind, ids), given[0])

    chance = random.Random(name)
    killed = [
        kill_after(n, chance.random() * 0.03, stores[1], target, kind, ids, given[1]) for n in (1, 3, 2)
    ]
    assert any(killed), "no kill hit a running training"
    assert not [run for run in Store(stores[1]).scan() if run.id == whole.id], "a killed run must not count"
    again = compose(target, make(kind, ids), given[1])

    assert again.id == whole.id
    assert bytes_of(again.path) == bytes_of(whole.path)
    assert whole.metrics["steps"] == 30
