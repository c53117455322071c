"""Adapter configurations: names, defaults, overrides, and what is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adapterstilts.errors import ConfigError
from adapterstilts.model import configs
from adapterstilts.values import canonical

METHODS = {
    "seq_bn": "bottleneck",
    "double_seq_bn": "bottleneck",
    "par_bn": "parallel",
    "seq_bn_inv": "invertible",
    "lora": "lora",
    "ia3": "ia3",
    "prefix": "prefix_tuning",
    "compacter": "compacter",
    "unipelt": "union",
}


def test_every_file_names_its_method() -> None:
    assert set(configs.AdapterSpec.names()) == set(METHODS)
    assert configs.AdapterSpec.names()[0] == "seq_bn"
    assert {name: configs.AdapterSpec.load(name).method for name in METHODS} == METHODS


def test_files_begin_with_what_they_are_and_their_paper() -> None:
    for path in configs.AdapterSpec.folder().glob("*.yaml"):
        comments = [line for line in path.read_text("utf-8").splitlines() if line.startswith("#")]
        assert len(comments) >= 2 and "https://arxiv.org/abs/" in "".join(comments), path.name


def test_a_setting_equal_to_the_default_changes_nothing() -> None:
    plain = configs.AdapterSpec.load("seq_bn")
    assert canonical(configs.AdapterSpec.load("seq_bn", {"reduction_factor": "16"})) == canonical(plain)
    assert (
        configs.AdapterSpec.load("lora", {"attn_matrices": "[v, q]"}).config
        == configs.AdapterSpec.load("lora").config
    )


def test_overrides_are_read_as_yaml_and_typed() -> None:
    config = configs.AdapterSpec.load(
        "seq_bn", {"reduction_factor": "{1: 8, default: 2}", "dropout": "0.1"}
    ).config
    assert config["reduction_factor"] == {"1": 8.0, "default": 2.0}
    assert config["dropout"] == 0.1
    assert configs.AdapterSpec.load("unipelt", {"lora.r": "4"}).config["lora"]["r"] == 4


@pytest.mark.parametrize(
    ("name", "key", "value", "message"),
    [
        ("seq_bn", "reduction_facto", "8", "did you mean 'reduction_factor'"),
        ("seq_bn", "reduction_factor", "yes", "should be a number"),
        ("seq_bn", "reduction_factor", "-1", "greater than or equal to 0.001"),
        ("seq_bn", "mh_adapter", "1", "mh_adapter"),
        ("seq_bn", "output_adapter", "false", "there would be no adapter"),
        ("seq_bn", "dropout", "[1", "dropout: not YAML"),
        ("seq_bn", "non_linearity", "relo", "non_linearity"),
        ("lora", "r", "2.5", "r"),
        ("lora", "r", "true", "not true or false"),
        ("ia3", "r", "2", "requires r: 1"),
        ("unipelt", "lora.rank", "4", "unknown adapter config key 'rank'"),
        ("unipelt", "lore.r", "4", "did you mean 'lora'"),
        ("seq_bn", "architecture", "bottlenek", "did you mean 'bottleneck'"),
        ("compacter", "inv_adapter", "nice", "phm_layer cannot be combined with"),
    ],
)
def test_wrong_settings_are_refused(name: str, key: str, value: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("[", r"\[")):
        configs.AdapterSpec.load(name, {key: value})


def test_unknown_name_is_told_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'seq_bn'"):
        configs.AdapterSpec.load("seq_bm")


def test_a_file_of_the_users(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("# mine\nreduction_factor: 4\noriginal_ln_before: true\n", "utf-8")
    spec = configs.AdapterSpec.load(str(path))
    assert (
        spec.name == "mine"
        and spec.config == configs.AdapterSpec.load("seq_bn", {"reduction_factor": 4}).config
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("reduction_factor: 8\n  dropout: [\n", "mine.yaml, line 2"),
        ("- a\n- b\n", "should hold keys with values, such as"),
        ("", "should hold keys with values, such as"),
        ("dropout: 0.1\nreductionfactor: 8\n", "did you mean 'reduction_factor'"),
        ("architecture: union\nlora: {r: 4}\n", "at least two parts"),
        ("architecture: union\nlora: 4\nbottleneck: {}\n", "a mapping of its keys"),
    ],
)
def test_a_malformed_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigError, match=message):
        configs.AdapterSpec.load(str(path))


def test_a_missing_file_and_one_that_is_not_text(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no adapter configuration file"):
        configs.AdapterSpec.load(str(tmp_path / "none.yml"))
    (tmp_path / "binary.yml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ConfigError, match="cannot be read"):
        configs.AdapterSpec.load(str(tmp_path / "binary.yml"))


def test_listing_loads_neither_torch_nor_adapters() -> None:
    code = (
        "import sys;"
        "from adapterstilts.model import configs, active_adapters, known_backbones, compatibility;"
        "configs.AdapterSpec.load('unipelt'); print('torch' in sys.modules or 'adapters' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
