"""The bundled mini tasks: parallel, valid, free of overlap and of give-away words, made by their script."""

from __future__ import annotations

import importlib
import sys
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import pytest

import adapterstilts
from adapterstilts.data.load import DataLocation, available, load
from adapterstilts.data.rows import PairRow, QuestionRow, RetrievalRow, Row, TaggedRow
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.mini import LANGUAGES, MINI
from adapterstilts.tasks.spec import Split

SCRIPTS = Path(__file__).parents[2] / "scripts"
DATA = Path(adapterstilts.__file__).parent / "data" / "mini"
BUNDLED = DataLocation(source="bundled")
TRAINED = ("mini_nli", "mini_paraphrase", "mini_qa", "mini_ner")

each_language = pytest.mark.parametrize("language", LANGUAGES)


def rows(name: str, split: Split, language: str = "en") -> tuple[Row, ...]:
    return load(get_task(name), split, language, BUNDLED).rows


def pairs(name: str, split: Split, language: str = "en") -> list[PairRow]:
    return [row for row in rows(name, split, language) if isinstance(row, PairRow)]


def questions(split: Split, language: str = "en") -> list[QuestionRow]:
    return [row for row in rows("mini_qa", split, language) if isinstance(row, QuestionRow)]


def tagged(split: Split, language: str = "en") -> list[TaggedRow]:
    return [row for row in rows("mini_ner", split, language) if isinstance(row, TaggedRow)]


def texts(name: str, split: Split, language: str = "en") -> set[str]:
    """Every sentence or story of a split."""
    found = (
        [(row.first, row.second or "") for row in pairs(name, split, language)] if "qa" not in name else []
    )
    found += [(row.context, "") for row in questions(split, language)] if name == "mini_qa" else []
    found += [(" ".join(row.tokens), "") for row in tagged(split, language)] if name == "mini_ner" else []
    return {text for pair in found for text in pair if text}


@pytest.fixture(scope="module")
def built() -> dict[str, str]:
    sys.path.insert(0, str(SCRIPTS))
    try:
        made: dict[str, str] = importlib.import_module("make_mini").build()
        return made
    finally:
        sys.path.remove(str(SCRIPTS))


def test_files_are_what_the_script_makes(built: dict[str, str]) -> None:
    there = {path.relative_to(DATA).as_posix(): path for path in DATA.rglob("*") if path.is_file()}
    assert set(built) == set(there) - {"README.md"}
    differ = [name for name, text in built.items() if there[name].read_bytes() != text.encode("utf-8")]
    assert differ == []


def test_files_are_small_and_in_nfc() -> None:
    files = [path for path in DATA.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 700_000
    assert [
        path for path in files if not unicodedata.is_normalized("NFC", path.read_text(encoding="utf-8"))
    ] == []


def test_every_task_has_every_language() -> None:
    assert len(LANGUAGES) == 10
    for task in MINI:
        assert available(task, "test", BUNDLED) == task.languages
    for name in TRAINED:
        assert set(get_task(name).languages) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("name", "train", "test"),
    [("mini_nli", 450, 60), ("mini_paraphrase", 400, 60), ("mini_qa", 300, 60), ("mini_ner", 274, 60)],
)
def test_sizes(name: str, train: int, test: int) -> None:
    assert (len(rows(name, "train")), len(rows(name, "test"))) == (train, test)


@each_language
def test_test_sets_are_parallel(language: str) -> None:
    for name in ("mini_nli", "mini_paraphrase"):
        here, english = pairs(name, "test", language), pairs(name, "test")
        assert [(row.id, row.label) for row in here] == [(row.id, row.label) for row in english]
        assert _repeats([row.first for row in here]) == _repeats([row.first for row in english])
    assert [row.id for row in questions("test", language)] == [row.id for row in questions("test")]
    assert [_types(row) for row in tagged("test", language)] == [_types(row) for row in tagged("test")]


@each_language
def test_other_languages_are_translated(language: str) -> None:
    """A sentence left in English would be the same as in the English file."""
    if language == "en":
        return
    for name in TRAINED:
        assert texts(name, "test", language) & texts(name, "test") == set()


def _repeats(sentences: list[str]) -> list[int]:
    """For each sentence the place where it first stands."""
    return [sentences.index(sentence) for sentence in sentences]


def _types(row: TaggedRow) -> Counter[str]:
    return Counter(tag for tag in row.tags or () if tag.startswith("B-"))


@each_language
def test_answers_are_at_their_offset(language: str) -> None:
    for row in questions("test", language):
        assert row.answers is not None
        (answer,) = row.answers
        assert row.context[answer.start : answer.start + len(answer.text)] == answer.text
        assert row.context.count(answer.text) == 1
        assert answer.text == answer.text.strip(" .,;:!?。，؟।") != ""


@pytest.mark.parametrize("split", ["train", "dev"])
def test_english_answers_are_at_their_offset(split: Split) -> None:
    for row in questions(split):
        (answer,) = row.answers or ()
        assert row.context[answer.start : answer.start + len(answer.text)] == answer.text
        assert answer.text not in row.question


@each_language
def test_tags_are_valid_bio(language: str) -> None:
    for row in (*tagged("test", language), *(tagged("train") if language == "en" else ())):
        before = "O"
        for tag in row.tags or ():
            assert not tag.startswith("I-") or before[2:] == tag[2:], (row.tokens, row.tags)
            before = tag


@each_language
def test_tokens_cover_the_sentences_of_the_stories(language: str) -> None:
    told = "".join(dict.fromkeys(row.context for row in questions("test", language)))
    tokens = "".join("".join(row.tokens) for row in tagged("test", language))
    assert tokens == told.replace(" ", "")


def test_chinese_tokens_are_characters() -> None:
    first = tagged("test", "zh")[0]
    assert first.tokens[:6] == ("安", "娜", "·", "韦", "伯", "1984")
    assert first.tags is not None
    assert first.tags[:6] == ("B-PER", "I-PER", "I-PER", "I-PER", "I-PER", "O")


def test_a_suffix_belongs_to_its_name() -> None:
    first = tagged("test", "tr")[0]
    assert list(zip(first.tokens, first.tags or (), strict=True))[:5] == [
        ("Anna", "B-PER"), ("Weber", "I-PER"), ("1984", "O"), ("yılında", "O"), ("Hamburg'da", "B-LOC"),
    ]  # fmt: skip


def test_retrieval_is_aligned_with_english() -> None:
    for language in get_task("mini_retrieval").languages:
        found = [row for row in rows("mini_retrieval", "test", language) if isinstance(row, RetrievalRow)]
        queries, candidates = ([row for row in found if row.side == side] for side in ("query", "candidate"))
        assert len(queries) == len(candidates) == 120
        assert [row.gold for row in queries] == [(row.id,) for row in candidates]
        assert len({row.text for row in queries}) == len({row.text for row in candidates}) == 120
        assert candidates[0].text == "The teacher gave the student an old map."


@pytest.mark.parametrize("name", TRAINED)
def test_no_test_or_dev_item_is_in_training(name: str) -> None:
    test, train = texts(name, "test"), texts(name, "train")
    assert test & train == set()
    if name in ("mini_nli", "mini_paraphrase"):
        seen = {frozenset((row.first, row.second)) for row in pairs(name, "train")}
        assert seen.isdisjoint(frozenset((row.first, row.second)) for row in pairs(name, "dev"))
    else:
        assert texts(name, "dev") & train == set()


def test_names_of_the_test_set_are_not_in_training() -> None:
    def names(split: Split) -> set[str]:
        return {name for row in tagged(split) for name in _entities(row)}

    assert len(names("test")) > 50
    assert names("test") & names("train") == set()


def _entities(row: TaggedRow) -> list[str]:
    found: list[list[str]] = []
    for token, tag in zip(row.tokens, row.tags or (), strict=True):
        if tag.startswith("B-"):
            found.append([token])
        elif tag.startswith("I-"):
            found[-1].append(token)
    return [" ".join(each) for each in found]


@pytest.mark.parametrize("name", ["mini_nli", "mini_paraphrase"])
@pytest.mark.parametrize("split", ["train", "dev", "test"])
def test_labels_are_balanced(name: str, split: Split) -> None:
    counts = Counter(row.label for row in pairs(name, split))
    assert set(counts) == set(get_task(name).labels)
    assert len(set(counts.values())) == 1


def test_a_training_hypothesis_says_nothing_by_itself() -> None:
    labels: defaultdict[str | None, Counter[str | None]] = defaultdict(Counter)
    for row in pairs("mini_nli", "train"):
        labels[row.second][row.label] += 1
    assert all(len(set(found.values())) == 1 and len(found) == 3 for found in labels.values())


@pytest.mark.parametrize(("name", "least"), [("mini_nli", 6), ("mini_paraphrase", 8)])
def test_no_frequent_word_of_a_test_set_gives_the_label_away(name: str, least: int) -> None:
    """Of the second sentences with a word, at most three quarters have the same label."""
    labels: defaultdict[str, Counter[str | None]] = defaultdict(Counter)
    for row in pairs(name, "test"):
        for word in {each.strip(".,").lower() for each in (row.second or "").split()}:
            labels[word][row.label] += 1
    frequent = {word: found for word, found in labels.items() if found.total() >= least}
    assert "not" in frequent or name != "mini_nli"
    assert {
        word: found for word, found in frequent.items() if max(found.values()) > 0.75 * found.total()
    } == {}


def test_word_overlap_does_not_give_paraphrases_away() -> None:
    """What means something else shares more words with its statement than the paraphrase does."""

    def overlap(row: PairRow) -> float:
        first, second = (set(text.strip(".").lower().split()) for text in (row.first, row.second or ""))
        return len(first & second) / len(first | second)

    splits: tuple[Split, ...] = ("train", "test")
    for split in splits:
        different, paraphrase = (
            sum(overlap(row) for row in pairs("mini_paraphrase", split) if row.label == label)
            for label in ("different", "paraphrase")
        )
        assert different > paraphrase
