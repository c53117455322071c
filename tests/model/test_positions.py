"""The encoder's positions set the longest sequence, whatever the tokenizer's settings say."""

import json
import shutil

import pytest

from adapterstilts import TrainingOptions, train_adapter
from adapterstilts.errors import AdapterError, ConfigError
from adapterstilts.kinds.base import Encoding
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.encoder import load_tokenizer
from adapterstilts.values import distinct


def without_limit(backbone, folder):
    """A copy whose tokenizer knows no limit, as where tokenizer_config.json is missing."""
    shutil.copytree(backbone, folder)
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    del settings["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return folder


@pytest.fixture(params=["tiny_backbone", "tiny_xlmr"])
def unlimited(request, tmp_path):
    """A BERT of 136 positions, and an XLM-R whose first two of 136 are never used."""
    backbone = without_limit(request.getfixturevalue(request.param), tmp_path / "backbone")
    return backbone, 136 if request.param == "tiny_backbone" else 134


def test_the_default_length_ends_at_the_positions(unlimited):
    backbone, positions = unlimited
    files = BackboneFiles.locate(str(backbone))
    assert files.positions == positions
    assert Encoding(max_length=384).limit(load_tokenizer(files)) == positions


def test_a_longer_one_is_refused_before_training(unlimited, tmp_path):
    backbone, positions = unlimited
    options = TrainingOptions(
        backbone=str(backbone), store=tmp_path, limit=8, encoding={"max_length": positions + 1}
    )
    with pytest.raises(
        ConfigError, match=rf"max_length={positions + 1} is too long.*for {positions} subwords"
    ):
        train_adapter("mini_nli", options)
    BackboneFiles.locate(str(backbone)).check_length({"max_length": positions})


def test_a_text_of_all_positions_is_encoded_and_computed(unlimited, tmp_path):
    from adapterstilts.run.host_cache import fresh_host

    backbone, positions = unlimited
    host = fresh_host(BackboneFiles.locate(str(backbone)))
    length = Encoding(max_length=1000).limit(host.tokenizer)
    ids = host.tokenizer("a " * 500, truncation=True, max_length=length, return_tensors="pt")
    batch = {name: ids[name] for name in ("input_ids", "attention_mask")}
    batch["token_type_ids"] = batch["input_ids"] * 0
    assert host.hidden_states(batch, -1).shape[1] == positions


def test_fingerprints_in_a_message_differ_in_what_is_shown(tmp_path, tiny_backbone):
    one, other = (f"sha256:{'a' * 64}-{end}" for end in ("1" * 16, "2" * 16))
    assert distinct(one, other) == (one, other)
    assert distinct("sha256:" + "a" * 64, "sha256:" + "b" * 64) == (
        "sha256:aaaaaaaaaaaaa…",
        "sha256:bbbbbbbbbbbbb…",
    )
    assert distinct("hub:1", "hub:12") == ("hub:1", "hub:12")


def test_runs_of_two_readings_of_the_same_weights_are_told_apart(tmp_path, tiny_backbone):
    changed = without_limit(tiny_backbone, tmp_path / "changed")
    config = json.loads((changed / "config.json").read_text())
    (changed / "config.json").write_text(json.dumps({**config, "layer_norm_eps": 1e-5}))
    options = TrainingOptions(
        backbone=str(tiny_backbone), store=tmp_path / "runs", limit=8, hyperparameters={"max_steps": 1}
    )
    run = train_adapter("mini_nli", options)
    from adapterstilts import evaluate

    with pytest.raises(AdapterError, match="another backbone") as caught:
        evaluate(run.id, options=options.model_copy(update={"backbone": str(changed)}))
    assert run.job.backbone in str(caught.value) and BackboneFiles.locate(str(changed)).fingerprint in str(
        caught.value
    )
