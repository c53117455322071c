"""BUCC, LAReQA and Mewsli-X: small files in each release's form, hostile ones, and the real ones."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data.items import HiddenLabelsError
from adapterstilts.data.load import DataLocation, available, load
from adapterstilts.data.release_files import read
from adapterstilts.data.retrieval_files import _sentence_breaks
from adapterstilts.data.rows import RetrievalRow
from adapterstilts.errors import DataError, MissingDataError
from adapterstilts.tasks.lookup import get_task


def rows_of(path: Path, task: str, language: str) -> list[RetrievalRow]:
    found = [row for item in read(path, get_task(task), language) for row in item]
    assert all(isinstance(row, RetrievalRow) for row in found)
    return found  # type: ignore[return-value]


def queries(rows: list[RetrievalRow]) -> dict[str, tuple[str, ...]]:
    return {row.id: row.gold for row in rows if row.side == "query"}


# --- BUCC


BUCC = {
    "de": "de-1\tEin Hund .\r\nde-2\tEine Katze .\r\nde-3\tEin Hund .\r\n",
    "en": "en-1\tA cat .\nen-2\tA house .\n",
    "gold": "de-2\ten-1\n",
}


def write_bucc(folder: Path, split: str = "dev", **changed: str | None) -> Path:
    for ending, text in {**BUCC, **changed}.items():
        if text is not None:
            (folder / f"de-en.{split}.{ending}").write_text(text, encoding="utf-8", newline="")
    return folder / f"de-en.{split}.de"


def test_bucc_has_texts_with_ids_and_pairs_of_ids(tmp_path: Path) -> None:
    assert rows_of(write_bucc(tmp_path), "bucc2018", "de") == [
        RetrievalRow("de-1", "Ein Hund .", "query"),
        RetrievalRow("de-2", "Eine Katze .", "query", ("en-1",)),
        RetrievalRow("de-3", "Ein Hund .", "query"),
        RetrievalRow("en-1", "A cat .", "candidate"),
        RetrievalRow("en-2", "A house .", "candidate"),
    ]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (
            {"gold": "de-2\ten-1\nde-9\ten-2\n"},
            r"de-en.dev.gold, line 2: the gold id 'de-9' is not in .*\.de$",
        ),
        ({"gold": "de-2\ten-9\n"}, r"de-en.dev.gold, line 1: the gold id 'en-9' is not in .*\.en$"),
        ({"gold": "en-1\tde-2\n"}, "line 1: the gold id 'en-1' is not in"),
        ({"gold": "de-2 en-1\n"}, r"de-en.dev.gold, line 1: 1 tab-separated columns, not 2"),
        ({"gold": ""}, "de-en.dev.gold: the file is empty"),
        ({"de": ""}, "de-en.dev.de: the file is empty"),
        (
            {"en": "en-1\tA cat .\nen-1\tA house .\n"},
            "dev.en, line 2: the id 'en-1' occurs twice in the file",
        ),
        ({"de": "de-1 Ein Hund .\n"}, r"dev.de, line 1: 1 tab-separated columns, not 2"),
        ({"en": None}, r"the English side, .*de-en\.dev\.en, does not exist"),
    ],
)
def test_malformed_bucc(tmp_path: Path, changed: dict[str, str | None], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(write_bucc(tmp_path, **changed), "bucc2018", "de")


def test_bucc_without_gold_pairs_is_hidden_and_not_at_hand(tmp_path: Path) -> None:
    folder = tmp_path / "bucc2018"
    folder.mkdir()
    write_bucc(folder)
    with pytest.raises(HiddenLabelsError, match=r"the gold pairs, .*\.gold, do not exist"):
        rows_of(write_bucc(folder, "test", gold=None), "bucc2018", "de")
    task, location = get_task("bucc2018"), DataLocation(data_dir=tmp_path, source="folder")
    assert available(task, "dev", location) == ("de",)
    assert available(task, "test", location) == ()


def test_a_limit_counts_queries_and_keeps_all_candidates(tmp_path: Path) -> None:
    location = DataLocation(file=str(write_bucc(tmp_path)))
    found = load(get_task("bucc2018"), "dev", "de", location, limit=1).rows
    assert Counter(row.side for row in found) == {"query": 1, "candidate": 2}  # type: ignore[union-attr]


def test_real_bucc(shared_data: Path) -> None:
    found = rows_of(shared_data / "xtreme" / "bucc2018" / "zh-en.dev.zh", "bucc2018", "zh")
    assert Counter((row.side, len(row.gold)) for row in found) == {
        ("query", 0): 8367, ("query", 1): 257, ("candidate", 0): 13589,
    }  # fmt: skip


# --- LAReQA

ENGLISH = "Tom saw a dog. It was red. Tom saw a dog."
GERMAN = "Tom sah am 3. Mai einen Hund. Er war rot."


def squad(context: str, qas: list[tuple[str, str, str]], **more: Any) -> dict[str, Any]:
    questions = [
        {"id": n, "question": asked, "answers": [{"text": said, "answer_start": context.index(said)}]}
        for n, asked, said in qas
    ]
    return {"data": [{"paragraphs": [{"context": context, "qas": questions, **more}]}]}


def write_lareqa(folder: Path, english: dict[str, Any] | None = None) -> Path:
    asked = [("q1", "What did Tom see?", "a dog"), ("q2", "What colour was it?", "red")]
    gefragt = [("q1", "Was sah Tom?", "einen Hund"), ("q2", "Welche Farbe hatte er?", "rot")]
    (folder / "en.json").write_text(json.dumps(english or squad(ENGLISH, asked)), encoding="utf-8")
    (folder / "de.json").write_text(json.dumps(squad(GERMAN, gefragt)), encoding="utf-8")
    return folder / "en.json"


def test_lareqa_seeks_answers_among_the_sentences_of_all_languages(tmp_path: Path) -> None:
    found = rows_of(write_lareqa(tmp_path), "lareqa", "en")
    assert {row.id: row.text for row in found if row.side == "candidate"} == {
        "en-1-1": "Tom saw a dog.", "en-1-2": "It was red.", "en-1-3": "Tom saw a dog.",
        "de-1-1": "Tom sah am 3. Mai einen Hund.", "de-1-2": "Er war rot.",
    }  # fmt: skip
    assert queries(found) == {"q1": ("en-1-1", "en-1-3", "de-1-1"), "q2": ("en-1-2", "de-1-2")}
    german = queries(rows_of(tmp_path / "de.json", "lareqa", "de"))
    assert german == {"q1": ("de-1-1", "en-1-1", "en-1-3"), "q2": ("de-1-2", "en-1-2")}


def test_sentences_of_the_release_are_taken_where_it_has_them(tmp_path: Path) -> None:
    breaks = [[0, 14], [27, 41]]  # the second sentence is in none
    asked = [("q1", "What did Tom see?", "a dog"), ("q2", "What colour was it?", "red")]
    folder = tmp_path / "lareqa" / "xquad-r"
    folder.mkdir(parents=True)
    write_lareqa(folder, squad(ENGLISH, asked, sentence_breaks=breaks, sentences=["ignored"]))
    loaded = load(get_task("lareqa"), "test", "en", DataLocation(data_dir=tmp_path, source="folder"))
    assert loaded.origin["sentences"] == {"en": "release", "de": "rule"}
    assert (loaded.origin["dropped"], loaded.origin["file"]) == (1, "lareqa/xquad-r/en.json")
    assert queries(list(loaded.rows)) == {"q1": ("en-1-1", "en-1-2", "de-1-1")}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("english", "message"),
    [
        (squad(ENGLISH, [("q1", "?", "a dog")], sentence_breaks=[[0, 99]]), "'sentence_breaks' should be"),
        (squad(ENGLISH, [("q1", "?", "a dog")], sentence_breaks="14"), "'sentence_breaks' should be"),
        (squad(ENGLISH, []), "en.json: the file holds no question"),
        ({"data": [{}]}, "'paragraphs' should be a list of objects"),
    ],
)
def test_malformed_lareqa(tmp_path: Path, english: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(write_lareqa(tmp_path, english), "lareqa", "en")


def test_blanked_answers_hide_the_labels(tmp_path: Path) -> None:
    with pytest.raises(HiddenLabelsError, match="its answer is blanked"):
        rows_of(write_lareqa(tmp_path, squad(ENGLISH, [("q1", "What?", "")])), "lareqa", "en")


def test_sentences_end_at_closing_marks() -> None:
    def split(text: str) -> list[str]:
        return [text[start:end] for start, end in _sentence_breaks(text)]

    assert split("J. Smith came. He left! ") == ["J. Smith came.", "He left!"]
    assert split('He said "no." Then, at 3 p.m. on May 24. June, he left?') == [
        'He said "no."', "Then, at 3 p.m. on May 24. June, he left?",
    ]  # fmt: skip
    assert split("狗跑了。猫睡了！") == ["狗跑了。", "猫睡了！"]
    assert split("वह गया। वह आया।") == ["वह गया।", "वह आया।"]
    assert split("ไม่มีจุด") == ["ไม่มีจุด"]
    assert split(" ") == []


def test_real_lareqa_from_xquad(shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "xquad").symlink_to(shared_data / "xtreme" / "xquad")  # without XQuAD-R's sentence breaks
    loaded = load(get_task("lareqa"), "test", "zh", DataLocation(data_dir=tmp_path, source="folder"))
    assert set(loaded.origin["sentences"].values()) == {"rule"}
    gold = queries(list(loaded.rows))  # type: ignore[arg-type]
    assert len(gold) == 1190
    assert {len(answers) for answers in gold.values()} == {len(loaded.origin["sentences"])}


# --- Mewsli-X

ARTICLE = "Strike in Helsinki\n\nIn Helsinki, bus\ndrivers went on strike. It ends soon."


def mention(start: int, text: str, entity: str = "Q1757", number: str = "m1") -> dict[str, Any]:
    span = {"start": start, "end": start + len(text), "text": text}
    return {"example_id": number, "mention_span": span, "entity_id": entity, "metadata": {"revid": "1"}}


def article(*mentions: dict[str, Any], language: str = "en", text: str = ARTICLE) -> dict[str, Any]:
    spans = [{"start": 0, "end": 18}, {"start": 20, "end": 60}, {"start": 61, "end": 74}]
    context = {"document_id": "en-1", "language": language, "text": text, "sentence_spans": spans}
    return {"context": context, "mentions": list(mentions)}


def entity(number: str, description: str, *spans: tuple[int, int]) -> dict[str, Any]:
    listed = [{"start": start, "end": end} for start, end in spans]
    return {"entity_id": number, "title": "x", "description": description, "sentence_spans": listed}


ENTITIES = [
    entity("Q1757", "Helsinki on\nSuomen pääkaupunki. Se on iso.", (0, 31), (32, 42)),
    entity("Q5", "Ein Mensch.", (0, 11)),
]


def write_mewslix(folder: Path, *articles: dict[str, Any], entities: list[dict[str, Any]] = ENTITIES) -> Path:
    (folder / "wikinews_mentions").mkdir()
    for name, records in (("candidate_set_entities", entities), ("wikinews_mentions/dev-en", articles)):
        text = "\n".join(json.dumps(record, ensure_ascii=False) for record in records)
        (folder / f"{name}.jsonl").write_text(text, encoding="utf-8")
    return folder / "wikinews_mentions" / "dev-en.jsonl"


def test_mewslix_seeks_the_description_of_a_mention(tmp_path: Path) -> None:
    german = article(mention(23, "Helsinki", number="m2"), language="de")
    path = write_mewslix(tmp_path, german, article(mention(23, "Helsinki")))
    assert rows_of(path, "mewslix", "en") == [
        RetrievalRow("m1", "Helsinki: In { Helsinki } , bus drivers went on strike.", "query", ("Q1757",)),
        RetrievalRow("Q1757", "Helsinki on Suomen pääkaupunki. Se on iso.", "candidate"),
        RetrievalRow("Q5", "Ein Mensch.", "candidate"),
    ]


@pytest.mark.parametrize(
    ("record", "message"),
    [
        (article(mention(24, "Helsinki")), "line 1: mention m1 is not at characters 24 to 32"),
        (article(mention(70, "soon. It ends")), "line 1: .* is not a span of the text"),
        (
            article(mention(ARTICLE.index("strike. It"), "strike. It")),
            "line 1: mention m1 is in no sentence",
        ),
        (article(mention(23, "Helsinki"), text=""), "article has no text: restore it"),
        (article(mention(23, "Helsinki", "Q404")), "dev-en.jsonl, line 1: the gold entity 'Q404' is not in"),
        ({"context": {}}, "line 1: not in Mewsli-X's form"),
    ],
)
def test_malformed_mewslix(tmp_path: Path, record: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        rows_of(write_mewslix(tmp_path, record), "mewslix", "en")


def test_mewslix_without_a_language_says_which_it_has(tmp_path: Path) -> None:
    path = write_mewslix(tmp_path, article(mention(23, "Helsinki")), article(language="de"))
    with pytest.raises(MissingDataError, match=r"dev-en\.jsonl: no mention in 'tr' \(it has de, en\)"):
        rows_of(path, "mewslix", "tr")


def test_mewslix_with_hidden_entities_or_without_candidates(tmp_path: Path) -> None:
    path = write_mewslix(tmp_path, article(mention(23, "Helsinki", "")))
    with pytest.raises(HiddenLabelsError, match="line 1: mention m1 has no entity"):
        rows_of(path, "mewslix", "en")
    (tmp_path / "candidate_set_entities.jsonl").unlink()
    with pytest.raises(DataError, match=r"candidate_set_entities\.jsonl, are neither in its folder"):
        rows_of(path, "mewslix", "en")


def test_tatoeba_with_a_sorted_english_side_has_hidden_labels(tmp_path: Path) -> None:
    for name, texts in (("deu", range(20, 0, -1)), ("eng", range(20))):
        lines = "".join(f"sentence {number:02d}\n" for number in texts)
        (tmp_path / f"tatoeba.deu-eng.{name}").write_text(lines)
    with pytest.raises(HiddenLabelsError, match="sorted"):
        rows_of(tmp_path / "tatoeba.deu-eng.deu", "tatoeba", "de")
