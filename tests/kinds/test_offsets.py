"""Every visible character belongs to a subword, so a perfect model gives whole answers."""

import unicodedata

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from adapterstilts.data.rows import Answer, QuestionRow
from adapterstilts.kinds.offsets import repaired
from adapterstilts.kinds.span import KIND
from adapterstilts.kinds.span import SpanEncoding as Encoding
from adapterstilts.kinds.subwords import pieces

TEXTS = [
    "Der Ball flog über (Jörg-Änne) nach Malmö.", "대구 에서 부산", "Ça, l'été à Nîmes", "İzmir'de ﬁrın",
    "👩\u200d👧 visits 🇫🇷 and 👍🏽 it", "Per\u00adth and Li\u200cma", "a (b) c", "किताब में है", "Huế và Hạnh",
]  # fmt: skip


def wordpiece(lowercase: bool) -> Tokenizer:
    """Cleans control characters away; with `lowercase` accents too."""
    letters = [*map(chr, range(33, 127)), *map(chr, range(0x1100, 0x1200))]
    names = ["<s>", "<pad>", "</s>", "<unk>", *letters, *(f"##{letter}" for letter in letters)]
    tokenizer = Tokenizer(models.WordPiece({name: n for n, name in enumerate(names)}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(clean_text=True, lowercase=lowercase)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


def byte_level(trim: bool, late: bool, compose: bool) -> Tokenizer:
    """Byte-level BPE with a few merges; `late` reports the first character of each word as uncovered."""
    names = ["<s>", "<pad>", "</s>", "<unk>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    merges = [("Ġ", letter) for letter in "JMNPabf"]
    names += ["".join(merge) for merge in merges]
    tokenizer = Tokenizer(models.BPE({name: n for n, name in enumerate(names)}, merges))
    tokenizer.normalizer = normalizers.NFKC() if compose else None
    split = [pre_tokenizers.Whitespace()] if late else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*split, pre_tokenizers.ByteLevel(add_prefix_space=True)]
    )
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", 2), ("<s>", 0), trim_offsets=trim, add_prefix_space=True
    )
    return tokenizer


def metaspace() -> Tokenizer:
    """As SentencePiece does: composes, and marks a word's begin with a space; unknown letters are <unk>."""
    pieces = [("<s>", 0.0), ("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(letter, -2.0) for letter in "▁abcdefghijklmnopqrstuvwxyzöüéäMJ"] + [("▁M", -1.0)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.post_processor = processors.BertProcessing(("</s>", 2), ("<s>", 0))
    return tokenizer


BACKENDS = {
    "wordpiece-cased": wordpiece(False),
    "wordpiece-lower": wordpiece(True),
    "bytes": byte_level(True, False, False),
    "bytes-untrimmed": byte_level(False, False, False),
    "bytes-composed": byte_level(True, False, True),
    "bytes-late": byte_level(True, True, False),
    "bytes-late-composed": byte_level(True, True, True),
    "metaspace": metaspace(),
}


def loaded(name: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=BACKENDS[name],
        unk_token="<unk>",
        pad_token="<pad>",
        cls_token="<s>",
        sep_token="</s>",
    )


def perfect(text: str, answer: str, tokenizer: PreTrainedTokenizerFast, task) -> str:
    """What a model predicts that is sure of the answer's first and last subword."""
    row = QuestionRow("1", "Who?", text, (Answer(answer, text.index(answer)),))
    encoding = Encoding(max_length=384, max_answer=200)
    (feature,) = KIND.encode([row], task, tokenizer, encoding)
    logits = np.full((len(feature.ids[0]), 2), -9.0, np.float32)
    logits[feature.target[0], 0] = logits[feature.target[1], 1] = 9
    (prediction,) = KIND.decode([logits], [feature], [row], task, encoding)
    assert text[prediction["start"] : prediction["end"]] == prediction["text"]
    return prediction["text"]


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", BACKENDS)
def test_a_perfect_model_gives_each_word_whole(name, form, task_of):
    tokenizer, task = loaded(name), task_of("span")
    for text in (unicodedata.normalize(form, text) for text in TEXTS):
        words = text.split()
        assert [perfect(text, word, tokenizer, task) for word in words] == words


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("name", BACKENDS)
def test_every_visible_character_has_a_subword(name, form):
    texts = [unicodedata.normalize(form, text) for text in TEXTS]
    for text, piece in pieces(loaded(name), texts).items():
        covered = {at for start, end in piece.offsets.tolist() for at in range(start, end)}
        assert not [text[at] for at in range(len(text)) if at not in covered and not text[at].isspace()]
        assert (np.diff(piece.offsets[:, 0]) >= 0).all()


@pytest.mark.parametrize(
    ("text", "offsets", "expected"),
    [
        ("ab cd", [[0, 2], [3, 5]], [[0, 2], [3, 5]]),  # nothing to repair
        ("ab cd", [[0, 2], [4, 5]], [[0, 2], [3, 5]]),  # begins late
        ("ab cd", [[0, 1], [3, 5]], [[0, 2], [3, 5]]),  # ends early
        ("e\u0301a", [[0, 1], [2, 3]], [[0, 2], [2, 3]]),  # a mark goes to its letter
        ("a\u200cb", [[0, 1], [2, 3]], [[0, 1], [1, 3]]),  # what separates goes to what follows
        ("(ab", [[1, 1], [2, 3]], [[0, 1], [1, 3]]),  # an empty subword takes what ends there
        ("a b", [[0, 1], [2, 2], [2, 3]], [[0, 1], [2, 2], [2, 3]]),  # a mark for the space
        ("a b", [[0, 1], [3, 3], [2, 3]], [[0, 1], [2, 2], [2, 3]]),
        ("ab\u200d", [[0, 1], [1, 2]], [[0, 1], [1, 3]]),  # at the end
        ("\u200eab", [[1, 3]], [[0, 3]]),  # at the beginning
        ("ab", [], []),
        ("ab", [[0, 0]], [[0, 0]]),
        ("e\u0301", [[0, 1], [0, 1]], [[0, 2], [0, 2]]),  # two subwords of one letter
    ],
)
def test_holes_are_given_to_their_neighbours(text, offsets, expected):
    assert repaired(text, np.array(offsets, np.int32).reshape(-1, 2)).tolist() == expected
