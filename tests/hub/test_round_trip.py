"""From training to another machine and back, each step in a process of its own, and in other libraries."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.hub.conftest import Env, Outside
from tests.hub.fake_hub.server import Hub

BACKBONE = "me/tiny-bert"
QUICK = ("--limit", "24", "--max-steps", "3", "--batch-size", "8", "--backbone", BACKBONE)
PAIRS = (("the cat saw a dog", "a dog is big"), ("Anna took the train to Paris", "she is in Berlin"))

# Calls the program once for each line of arguments; prints what each printed, as JSON
PROGRAM = """
import json, sys
from typer.testing import CliRunner
from adapterstilts.cli.app import app
said = []
for words in json.loads(sys.argv[1]):
    done = CliRunner().invoke(app, words)
    said.append([done.exit_code, done.stdout, done.stderr])
    if done.exception and not isinstance(done.exception, SystemExit):
        raise done.exception
print("SAID", json.dumps(said))
"""
# What this toolkit computes from its store: logits [pairs, labels] of each run, as JSON
OURS = f"""
import json, sys
from pathlib import Path
import torch
from adapterstilts.model.backbone import (BackboneFiles)
from adapterstilts.model.host import Host
from adapterstilts.run.assemble import restore
from adapterstilts.store import Store
host = Host(BackboneFiles.locate("{BACKBONE}"))
for name in sys.argv[2:]:
    host.reset()
    setup = restore(host, Store(Path(sys.argv[1])).find(name).path)
    batch = dict(host.tokenizer(*map(list, zip(*{PAIRS!r})), padding=True, return_tensors="pt"))
    with torch.no_grad():
        print("LOGITS", json.dumps(host.forward(batch, setup.head).tolist()))
"""
# What follows the code of a card in the same process
THEIRS = f"""
import json
import torch
from transformers import AutoTokenizer
model.eval()
tokenizer = AutoTokenizer.from_pretrained("{BACKBONE}")
batch = tokenizer(*map(list, zip(*{PAIRS!r})), padding=True, return_tensors="pt")
with torch.no_grad():
    print("LOGITS", json.dumps(model(**batch).logits.tolist()))
"""


@pytest.fixture
def at_home(hub: Hub, tiny_backbone: Path) -> Hub:
    """The Hub with the backbone."""
    hub.put("models", BACKBONE, {path.name: path.read_bytes() for path in tiny_backbone.iterdir()})
    return hub


Call = Callable[..., list[tuple[int, str, str]]]


@pytest.fixture
def call(hub_env: Env, outside: Outside) -> Call:
    """Calls the program several times in one other process; gives code, output and messages of each."""

    def run(*commands: tuple[str, ...]) -> list[tuple[int, str, str]]:
        told = outside(["-c", PROGRAM, json.dumps(commands)], hub_env).stdout
        return [tuple(each) for each in json.loads(told.rpartition("SAID")[2])]

    return run


def code_of_card(hub: Hub, repo: str) -> str:
    """The Python that the card shows."""
    card = hub.files("models", repo)["README.md"].decode()
    return "\n".join(re.findall(r"```python\n(.*?)```", card, re.DOTALL)) + THEIRS


def logits(told: str) -> list[torch.Tensor]:
    return [torch.tensor(json.loads(line.split(" ", 1)[1])) for line in told.splitlines() if "LOGITS" in line]


def train(verb: str, *words: str) -> tuple[str, ...]:
    return (verb, *words, *QUICK, "--json")


def evaluate(run: str) -> tuple[str, ...]:
    return ("evaluate", run, "--languages", "en,de,sw,zh", "--json")


@pytest.mark.slow
def test_train_publish_wipe_pull_evaluate(
    at_home: Hub, hub_env: Env, call: Call, outside: Outside, tmp_path: Path
) -> None:
    """Every metric is identical, and the library alone computes the same by what the card says."""
    nli, qa = "single-mini_nli", "single-mini_qa"
    runs = {"me/nli": nli, "me/stacked": "stack-mini_paraphrase", "me/fused": "fuse-mini_paraphrase"}
    made = call(
        train("train-adapter", "mini_nli"),
        train("train-adapter", "mini_qa"),
        train("stack", "mini_paraphrase", nli),
        train("fuse", "mini_paraphrase", nli, qa),
        *map(evaluate, runs.values()),
        *(("publish", run, repo) for repo, run in runs.items()),
    )
    assert all(code == 0 for code, _, _ in made), made
    ids = {json.loads(out)["id"] for _, out, _ in made[:4]}
    before = [json.loads(out) for _, out, _ in made[4:7]]

    shutil.rmtree(tmp_path / "store")
    shutil.rmtree(tmp_path / "home")
    pulled = call(*(("pull", repo, "--json") for repo in runs), *map(evaluate, runs.values()))
    assert all(code == 0 for code, _, _ in pulled), pulled
    assert {json.loads(out)["id"] for _, out, _ in pulled[:3]} < ids
    assert [json.loads(out) for _, out, _ in pulled[3:]] == before

    ours = logits(outside(["-c", OURS, str(tmp_path / "store"), *runs.values()], hub_env).stdout)
    shutil.rmtree(tmp_path / "home")
    theirs = logits(outside("".join(code_of_card(at_home, repo) for repo in runs), hub_env).stdout)
    assert len(ours) == len(theirs) == 3
    for one, other, repo in zip(ours, theirs, runs, strict=True):
        assert torch.allclose(one, other, atol=1e-5), repo


@pytest.mark.slow
def test_a_lora_in_peft_and_back(
    at_home: Hub, hub_env: Env, call: Call, outside: Outside, tmp_path: Path
) -> None:
    lora = train("train-adapter", "mini_nli", "--config", "lora", "--learning-rate", "0.05")
    made = call(lora, ("publish", "single-mini_nli", "me/lora", "--format", "peft"))
    assert all(code == 0 for code, _, _ in made), made
    run = json.loads(made[0][1])["id"]
    files = at_home.files("models", "me/lora")
    assert {"adapter_config.json", "adapter_model.safetensors", "run/job.json"} <= files.keys()
    ours = logits(outside(["-c", OURS, str(tmp_path / "store"), run], hub_env).stdout)[0]
    theirs = logits(outside(code_of_card(at_home, "me/lora"), hub_env).stdout)[0]  # PEFT itself
    assert torch.allclose(theirs, ours, atol=1e-5)

    alone = {name: files[name] for name in ("adapter_config.json", "adapter_model.safetensors")}
    at_home.put("models", "you/lora", alone)
    shutil.rmtree(tmp_path / "store")
    words = ("pull", "you/lora", "--task", "mini_nli", "--backbone", BACKBONE, "--json")
    same, headless, whole = call(
        ("pull", "me/lora", "--json"),  # as this toolkit's own run
        words,  # as somebody else's
        (*words, "--labels", "entailment,neutral,contradiction"),
    )
    assert {code for code, _, _ in (same, headless, whole)} == {0}, (same, headless, whole)
    ids = [json.loads(out)["id"] for _, out, _ in (same, headless, whole)]
    assert ids[0] == run and len(set(ids)) == 3
    assert "pulled without its head" in headless[2] and "--labels" in headless[2]
    one, other = logits(outside(["-c", OURS, str(tmp_path / "store"), ids[0], ids[2]], hub_env).stdout)
    assert torch.equal(one, ours) and torch.allclose(other, ours, atol=1e-5)
    refused, right = call(evaluate(ids[1]), evaluate(ids[2]))
    assert (refused[0], right[0]) == (2, 0), (refused, right)
    assert "has no head" in refused[2]
