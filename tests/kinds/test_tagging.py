"""Tagging: alignment of words and subwords, windows, seqeval's scores."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch

from adapterstilts.data.converters import OTHER
from adapterstilts.data.rows import TaggedRow
from adapterstilts.errors import ConfigError, DataError
from adapterstilts.kinds.registry import encoding_for
from adapterstilts.kinds.tagging import IGNORED, KIND
from adapterstilts.kinds.tagging import TaggingEncoding as Encoding

BIO = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG")


@pytest.fixture
def task(task_of):
    return task_of("tagging", BIO)


def perfect(features):
    """Logits that say at each labelled position what its target says."""
    outputs = []
    for feature in features:
        logits = np.zeros((feature.length, len(BIO)), np.float32)
        at = np.flatnonzero(feature.target != IGNORED)
        logits[at, feature.target[at]] = 1
        outputs.append(logits)
    return outputs


def read(path: Path) -> list[TaggedRow]:
    rows: list[TaggedRow] = []
    for number, block in enumerate(path.read_text(encoding="utf-8").split("\n\n")):
        pairs = [line.split("\t") for line in block.split("\n") if line]
        if pairs:
            rows.append(TaggedRow(str(number), tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)))
    return rows


def test_the_label_stands_on_the_first_subword(tokenizer, task):
    row = TaggedRow("1", ("Anna", "xyz", "Paris"), ("B-PER", "O", "B-LOC"))
    (feature,) = KIND.encode([row], task, tokenizer, Encoding())
    tokens = tokenizer.convert_ids_to_tokens(feature.ids[0].tolist())
    assert tokens == ["<s>", "Anna", "x", "##y", "##z", "Paris", "</s>"]
    assert feature.target.tolist() == [IGNORED, 1, 0, IGNORED, IGNORED, 3, IGNORED]
    assert feature.align.tolist() == [[0, 1], [1, 2], [2, 5]]


def test_words_are_tokenised_as_the_tokenizer_does_it_for_split_words(real_tokenizer, task):
    words = ("Zürich", "liegt", "東京", "ไทย", "don't", "ﬁne", "U.S.")
    (feature,) = KIND.encode([TaggedRow("1", words, None)], task, real_tokenizer, Encoding())
    want = real_tokenizer(list(words), is_split_into_words=True)
    assert feature.ids[0].tolist() == want["input_ids"]
    first = [want.word_ids().index(n) for n in range(len(words))]
    assert feature.align[:, 1].tolist() == first
    assert not len(feature.target)


@pytest.mark.parametrize("nothing", ["\u200b", "\u200d\u200b", " ", ""])
def test_a_word_of_no_subwords_becomes_one_unk(cleaning_tokenizer, task, nothing):
    assert cleaning_tokenizer(nothing, add_special_tokens=False)["input_ids"] == []
    row = TaggedRow("1", ("ab", nothing, "c"), ("B-PER", "I-PER", "B-LOC"))
    features = KIND.encode([row], task, cleaning_tokenizer, Encoding())
    tokens = cleaning_tokenizer.convert_ids_to_tokens(features[0].ids[0].tolist())
    assert tokens == ["[CLS]", "a", "##b", "[UNK]", "c", "[SEP]"]
    (prediction,) = KIND.decode(perfect(features), features, [row], task, Encoding())
    assert prediction == {"id": "1", "tags": ["B-PER", "I-PER", "B-LOC"]}


@pytest.mark.parametrize("count", [1, 5, 6, 7, 40, 301])
@pytest.mark.parametrize(("word", "size"), [("dog", 1), ("xyz", 3), ("abcdefghijklmnop", 16)])
def test_windows_cover_every_word_fit_and_overlap(tokenizer, task, count, word, size):
    tags = tuple(BIO[n % len(BIO)] for n in range(count))
    row, encoding = TaggedRow("1", (word,) * count, tags), Encoding(max_length=32, stride=128)
    features = KIND.encode([row], task, tokenizer, encoding)
    assert max(f.length for f in features) <= 32
    assert {word for f in features for word in f.align[:, 0]} == set(range(count))
    for before, after in itertools.pairwise(features):
        assert after.align[-1, 0] > before.align[-1, 0]  # each window gets further
        assert after.align[0, 0] <= before.align[-1, 0] + 1  # and skips nothing
        shared = np.intersect1d(before.align[:, 0], after.align[:, 0])
        assert len(shared) * size <= 32 // 4
    (prediction,) = KIND.decode(perfect(features), features, [row], task, encoding)
    assert tuple(prediction["tags"]) == tags


def test_neighbouring_windows_share_a_quarter(tokenizer, task):
    row = TaggedRow("1", ("dog",) * 100, None)
    first, second, *_ = KIND.encode([row], task, tokenizer, Encoding(max_length=34, stride=128))
    assert first.align[:, 0].tolist() == list(range(32))
    assert second.align[0, 0] == 32 - 34 // 4
    alone = KIND.encode([row], task, tokenizer, Encoding(max_length=34, stride=0))
    assert alone[1].align[0, 0] == 32


def test_a_word_longer_than_the_window_is_cut_not_lost(tokenizer, task):
    row = TaggedRow("1", ("dog", "x" * 60, "cat"), ("O", "B-PER", "B-LOC"))
    encoding = Encoding(max_length=16)
    features = KIND.encode([row], task, tokenizer, encoding)
    assert [f.length for f in features] == [3, 16, 3]
    (prediction,) = KIND.decode(perfect(features), features, [row], task, encoding)
    assert prediction["tags"] == ["O", "B-PER", "B-LOC"]


def test_a_word_in_two_windows_is_read_where_it_is_farther_from_an_edge(tokenizer, task):
    row, encoding = TaggedRow("1", ("dog",) * 50, None), Encoding(max_length=34)
    features = KIND.encode([row], task, tokenizer, encoding)
    assert [(f.align[0, 0], f.align[-1, 0]) for f in features] == [(0, 31), (24, 49)]
    outputs = []
    for number, feature in enumerate(features):
        logits = np.zeros((feature.length, len(BIO)), np.float32)
        logits[:, number + 1] = 1
        outputs.append(logits)
    (prediction,) = KIND.decode(outputs, features, [row], task, encoding)
    # word w is at w + 1 of 34 in the first window and at w - 23 of 28 in the second:
    # 33 - (w + 1) >= w - 23 up to word 27
    assert prediction["tags"] == ["B-PER"] * 28 + ["I-PER"] * 22


def test_an_empty_sentence_has_a_feature_and_no_tags(tokenizer, task):
    row = TaggedRow("1", (), ())
    features = KIND.encode([row], task, tokenizer, Encoding())
    assert KIND.decode(perfect(features), features, [row], task, Encoding()) == [{"id": "1", "tags": []}]
    batch = KIND.collate(features, 1)
    assert KIND.loss(torch.zeros(1, 2, len(BIO)), batch).item() == 0


def test_loss_averages_over_words_only(tokenizer, task):
    rows = [TaggedRow("1", ("Anna", "xyz"), ("B-PER", "O")), TaggedRow("2", ("dog",), ("O",))]
    batch = KIND.collate(KIND.encode(rows, task, tokenizer, Encoding()), tokenizer.pad_token_id)
    assert batch["labels"].shape == batch["input_ids"].shape
    logits = torch.zeros(*batch["labels"].shape, len(BIO))
    assert KIND.loss(logits, batch).item() == pytest.approx(np.log(7))
    logits[0, 1, 1] = 100.0  # Anna is now right and certain
    assert KIND.loss(logits, batch).item() == pytest.approx(np.log(7) * 2 / 3)


def test_an_unknown_tag_is_named(tokenizer, task):
    with pytest.raises(ConfigError, match=r"sentence 9 .*'B-PRE': did you mean 'B-PER'"):
        KIND.encode([TaggedRow("9", ("a",), ("B-PRE",))], task, tokenizer, Encoding())


def test_entity_scores_by_hand(task):
    gold = TaggedRow("1", ("a", "b", "c", "d"), ("B-PER", "I-PER", "O", "B-LOC"))
    found = [{"id": "1", "tags": ["B-PER", "O", "O", "B-LOC"]}, {"id": "2", "tags": ["B-ORG"]}]
    metrics = KIND.score(found, [gold, TaggedRow("2", ("e",), ("O",))], task, "en")
    # 3 predicted, 2 gold, 1 right (the place): precision 1/3, recall 1/2, F1 2/5; 3 of 5 tags right
    assert metrics == {
        "f1": 40.0, "precision": pytest.approx(100 / 3), "recall": 50.0, "accuracy": 60.0, "score": 40.0,
    }  # fmt: skip


def test_parts_of_speech_are_scored_on_the_raw_tags(task_of, recwarn):
    task = task_of("tagging", ("NOUN", "VERB", "DET"))
    gold = TaggedRow("1", ("a",) * 5, ("DET", "NOUN", "NOUN", "VERB", "DET"))
    found = [{"id": "1", "tags": ["DET", "NOUN", "VERB", "VERB", "DET"]}]
    # equal neighbours merge: gold DET NOUN+NOUN VERB DET, found DET NOUN VERB+VERB DET: 2 of 4
    assert KIND.score(found, [gold], task, "en")["f1"] == 50.0
    assert KIND.score(found, [gold], task, "en")["accuracy"] == 80.0
    assert not recwarn.list


def test_scores_agree_with_seqeval(task):
    from seqeval.metrics import f1_score

    rng = np.random.default_rng(0)
    gold = [[BIO[n] for n in rng.integers(0, 7, 12)] for _ in range(60)]
    found = [[tag if rng.random() < 0.7 else BIO[rng.integers(0, 7)] for tag in tags] for tags in gold]
    rows = [TaggedRow(str(n), ("a",) * 12, tuple(tags)) for n, tags in enumerate(gold)]
    metrics = KIND.score([{"id": str(n), "tags": tags} for n, tags in enumerate(found)], rows, task, "en")
    assert metrics["f1"] == pytest.approx(100 * f1_score(gold, found), abs=1e-6)


def test_hidden_tags_and_lost_words_are_refused(task):
    with pytest.raises(DataError, match="no gold"):
        KIND.score([{"id": "1", "tags": ["O"]}], [TaggedRow("1", ("a",), None)], task, "en")
    with pytest.raises(DataError, match="2 words but 1"):
        KIND.score([{"id": "1", "tags": ["O"]}], [TaggedRow("1", ("a", "b"), ("O", "O"))], task, "en")


def test_the_label_of_rare_tags_is_never_right(task):
    """It stands for many supertags, so that to predict it is to name none of them."""
    open_set = task.model_copy(update={"labels": (OTHER, "N", "NP"), "open_labels": 10})
    rows = [TaggedRow("1", ("a", "b", "c", "d"), ("N", OTHER, OTHER, "NP"))]
    found = KIND.score([{"id": "1", "tags": ["N", OTHER, "N", "NP"]}], rows, open_set, "en")
    assert found["accuracy"] == 50.0
    counted = KIND.counts([{"id": "1", "tags": [OTHER] * 4}], rows, open_set, "en")
    assert (counted[0, 0], counted[0, 3]) == (0, 0)


# --- the sentence as it is written


WRITTEN = Encoding(words="written")


def subwords(tokenizer, feature):
    return tokenizer.convert_ids_to_tokens(feature.ids[0].tolist())


def test_a_sentence_is_tokenised_as_it_is_written(real_tokenizer, task):
    words = ("東京", "は", "大きい", "。")
    (apart,) = KIND.encode([TaggedRow("1", words, None)], task, real_tokenizer, Encoding(words="separate"))
    assert subwords(real_tokenizer, apart).count("▁") == 4  # one before each word
    (feature,) = KIND.encode([TaggedRow("1", words, None)], task, real_tokenizer, WRITTEN)
    assert subwords(real_tokenizer, feature)[1:-1] == ["▁", "東京", "は", "大きい", "。"]
    assert feature.align.tolist() == [[0, 2], [1, 3], [2, 4], [3, 5]]  # none is read off the space mark


def test_words_with_single_spaces_are_read_as_words_apart(real_tokenizer, task):
    row = TaggedRow("1", ("Şehir", "güzel", "ͻ", "!!!", "தமிழ்", "%", "3.5"), None)
    apart, whole = (
        KIND.encode([row], task, real_tokenizer, Encoding(words=each))[0] for each in ("separate", "written")
    )
    assert "▁" in subwords(real_tokenizer, whole)
    assert whole.ids[0].tolist() == apart.ids[0].tolist()
    assert whole.align.tolist() == apart.align.tolist()


def test_separate_is_what_auto_means_where_nothing_settled_it(real_tokenizer, task):
    rows = [TaggedRow("1", ("東京", "は"), ("B-LOC", "O"))]
    auto, separate = (
        KIND.encode(rows, task, real_tokenizer, Encoding(words=each))[0] for each in ("auto", "separate")
    )
    assert auto.ids[0].tolist() == separate.ids[0].tolist()


def test_words_of_one_subword_share_it_and_go_on_with_its_entity(real_tokenizer, task):
    """PAN-X gives Chinese character by character: 東京 is two words and one subword."""
    row = TaggedRow("1", ("在", "東", "京", "。"), ("O", "B-LOC", "I-LOC", "O"))
    features = KIND.encode([row], task, real_tokenizer, WRITTEN)
    assert features[0].align.tolist() == [[0, 1], [1, 2], [2, 2], [3, 3]]
    assert features[0].target[1:4].tolist() == [0, 3, 0]  # the first word's tag
    (prediction,) = KIND.decode(perfect(features), features, [row], task, WRITTEN)
    assert tuple(prediction["tags"]) == row.tags


def test_words_that_share_a_subword_have_the_same_part_of_speech(real_tokenizer, task_of):
    task = task_of("tagging", ("NOUN", "VERB"))
    row = TaggedRow("1", ("東", "京"), ("VERB", "NOUN"))
    features = KIND.encode([row], task, real_tokenizer, WRITTEN)
    logits = np.tile(np.array([0, 1], np.float32), (features[0].length, 1))
    assert KIND.decode([logits], features, [row], task, WRITTEN) == [{"id": "1", "tags": ["VERB", "VERB"]}]


@pytest.mark.parametrize("nothing", ["\u200d", "\u00ad", ""])
def test_a_written_word_of_no_subwords_shares_the_one_before(cleaning_tokenizer, task, nothing):
    row = TaggedRow("1", (nothing, "ab", nothing, nothing, "c"), ("O", "B-PER", "I-PER", "I-PER", "O"))
    features = KIND.encode([row], task, cleaning_tokenizer, WRITTEN)
    assert subwords(cleaning_tokenizer, features[0]) == ["[CLS]", "a", "##b", "c", "[SEP]"]
    assert features[0].align.tolist() == [[0, 1], [1, 1], [2, 1], [3, 1], [4, 3]]
    (prediction,) = KIND.decode(perfect(features), features, [row], task, WRITTEN)
    assert len(prediction["tags"]) == 5


def test_a_written_sentence_of_nothing_is_one_unk(cleaning_tokenizer, task):
    row = TaggedRow("1", ("\u200d", ""), ("B-PER", "I-PER"))
    features = KIND.encode([row], task, cleaning_tokenizer, WRITTEN)
    assert subwords(cleaning_tokenizer, features[0]) == ["[CLS]", "[UNK]", "[SEP]"]
    assert KIND.decode(perfect(features), features, [row], task, WRITTEN)[0]["tags"] == ["B-PER", "I-PER"]
    empty = KIND.encode([TaggedRow("2", (), ())], task, cleaning_tokenizer, WRITTEN)
    assert subwords(cleaning_tokenizer, empty[0]) == ["[CLS]", "[SEP]"]


@pytest.mark.parametrize("count", [1, 5, 40, 301])
@pytest.mark.parametrize("words", [("東京", "は"), ("ab", "c"), ("x" * 60,)])
def test_windows_of_a_written_sentence_cover_every_word_and_fit(real_tokenizer, task, count, words):
    tokens = words * count
    tags = tuple(BIO[n % len(BIO)] for n in range(len(tokens)))
    row, encoding = TaggedRow("1", tokens, tags), Encoding(max_length=32, words="written")
    features = KIND.encode([row], task, real_tokenizer, encoding)
    assert max(f.length for f in features) <= 32
    assert {word for f in features for word in f.align[:, 0]} == set(range(len(tokens)))
    for feature in features:
        assert feature.align[:, 1].min() >= 1
        assert feature.align[:, 1].max() <= feature.length - 2
    for before, after in itertools.pairwise(features):
        assert after.align[-1, 0] > before.align[-1, 0]
        assert after.align[0, 0] <= before.align[-1, 0] + 1
    (prediction,) = KIND.decode(perfect(features), features, [row], task, encoding)
    assert tuple(prediction["tags"]) == tags


def test_words_of_one_subword_stay_in_one_window(tokenizer, task):
    """The tiny tokenizer knows "dog" as one subword; here it is three words."""
    row = TaggedRow("1", tuple("dog") * 40, None, spaces=(False, False, True) * 40)
    features = KIND.encode([row], task, tokenizer, Encoding(max_length=16, words="written"))
    assert len(features) > 1
    for feature in features:
        positions, counts = np.unique(feature.align[:, 1], return_counts=True)
        assert counts.tolist() == [3] * len(positions)


@pytest.mark.parametrize(
    ("language", "settings", "words"),
    [
        ("en", {}, "separate"),
        ("ko", {}, "separate"),
        ("zh", {}, "written"),
        ("th", {}, "written"),
        ("zh", {"words": "separate"}, "separate"),
        ("en", {"words": "written"}, "written"),
    ],
)
def test_the_language_settles_how_words_are_encoded(task, language, settings, words):
    assert encoding_for(task, language, settings).model_dump()["words"] == words


def test_other_kinds_have_no_such_setting_in_their_keys(task_of):
    assert "words" not in encoding_for(task_of("span"), "zh", {}).model_dump(mode="json")


@pytest.mark.parametrize("name", ["panx", "udpos"])
def test_every_word_of_the_real_chinese_files_is_written(shared_data, real_tokenizer, task_of, name):
    rows = read(shared_data / "xtreme" / name / "dev-zh.tsv")
    rows = [row for row in rows if "\u200b" in row.tokens or len(row.tokens) > 200] + rows[:300]
    task = task_of("tagging", tuple(sorted({tag for row in rows for tag in row.tags})))
    features = KIND.encode(rows, task, real_tokenizer, WRITTEN)
    assert max(f.length for f in features) <= 128
    outputs = [np.zeros((f.length, len(task.labels)), np.float32) for f in features]
    predictions = KIND.decode(outputs, features, rows, task, WRITTEN)
    assert [len(p["tags"]) for p in predictions] == [len(row.tokens) for row in rows]
    read_words = {(f.row, word) for f in features for word in f.align[:, 0].tolist()}
    assert len(read_words) == sum(len(row.tokens) for row in rows)


def test_every_word_of_the_real_chinese_file_is_scored(shared_data, real_tokenizer, task):
    """It holds tokens of one zero-width character and a sentence of 732 tokens."""
    rows = read(shared_data / "xtreme" / "panx" / "dev-zh.tsv")
    assert max(len(row.tokens) for row in rows) == 732
    special = [row for row in rows if "\u200b" in row.tokens or len(row.tokens) > 200]
    rows = special + rows[:300]
    assert any("\u200b" in row.tokens for row in rows)
    encoding = Encoding()
    features = KIND.encode(rows, task, real_tokenizer, encoding)
    assert max(f.length for f in features) <= 128
    predictions = KIND.decode(perfect(features), features, rows, task, encoding)
    assert [tuple(p["tags"]) for p in predictions] == [row.tags for row in rows]
    assert KIND.score(predictions, rows, task, "zh")["accuracy"] == 100.0
