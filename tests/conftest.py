"""Shared fixtures: a tiny seeded encoder and, where they are at hand, the real data files."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test may reach out by accident
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("ACCELERATE_USE_CPU", "true")  # the same numbers on machines with and without a GPU
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the workers of a test run share the cores

import pytest

from tests import fork_server

# A runner in the background may have been started with SIGINT ignored, which child processes would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

WORDS = (
    "the a cat dog man woman city river green red big small went saw took gave Paris Anna Tom Berlin who "
    "what where did is was in to from not never because yes no it he she they house book train bread . , ?"
).split()


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Keeps binary content out of test names: packed files hold the time, and all workers must agree."""
    return argname if isinstance(val, bytes) else None


@pytest.fixture(params=["on", "off"])
def cpu_bf16(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the CPU counts as one that computes bf16: a test that uses this runs on both kinds.

    The variable also reaches the processes that a test starts. PyTorch emulates missing instructions.
    """
    monkeypatch.setenv("ADAPTERSTILTS_CPU_BF16", request.param)
    return bool(request.param == "on")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder with real data files (`xtreme/`, `english/`); skips visibly where there is none."""
    folder = Path(os.environ.get("ADAPTERSTILTS_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no real data files at {folder} (set ADAPTERSTILTS_DATA)")
    return folder


@pytest.fixture(scope="session")
def server() -> Iterator[fork_server.ForkServer]:
    """Starts processes without the seconds that large libraries take to load."""
    with fork_server.started() as running:
        yield running


def build_backbone(folder: Path, *, layers: int = 2, hidden: int = 32, model_type: str = "bert") -> Path:
    """Writes a random encoder with a word-piece tokenizer (single characters and a few words)."""
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import AutoConfig, AutoModel, PreTrainedTokenizerFast

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    letters = [chr(code) for code in range(33, 127)]
    pieces = special + letters + [f"##{letter}" for letter in letters] + [w for w in WORDS if len(w) > 1]
    vocab = {piece: n for n, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>",
        pair="<s> $A </s> $B:1 </s>:1",
        special_tokens=[("<s>", vocab["<s>"]), ("</s>", vocab["</s>"])],
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>", model_max_length=128,
    )  # fmt: skip
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {
        "vocab_size": len(vocab), "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": 4, "intermediate_size": 2 * hidden, "max_position_embeddings": 136,
        "type_vocab_size": 2,
        "pad_token_id": vocab["<pad>"],
    }  # fmt: skip
    config = AutoConfig.for_model(model_type, **sizes)
    AutoModel.from_config(config).save_pretrained(folder, safe_serialization=True)
    return folder


@pytest.fixture(scope="session")
def tiny_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A BERT of 2 layers, hidden 32, 4 heads, with random weights from a fixed seed."""
    return build_backbone(tmp_path_factory.mktemp("tiny-bert"))


@pytest.fixture(scope="session")
def deeper_backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with 3 layers: adapters of one must not load into the other."""
    return build_backbone(tmp_path_factory.mktemp("deep-bert"), layers=3)


@pytest.fixture(scope="session")
def tiny_xlmr(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An XLM-R of the same size: another model type."""
    return build_backbone(tmp_path_factory.mktemp("tiny-xlmr"), model_type="xlm-roberta")
