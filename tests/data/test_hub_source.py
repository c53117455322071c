"""Records of Hub datasets become the same rows as the release's files; datasets here are built in memory."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from adapterstilts.data import hub
from adapterstilts.data.load import DataLocation, load
from adapterstilts.data.rows import Answer, ChoiceRow, PairRow, QuestionRow, RetrievalRow, TaggedRow
from adapterstilts.errors import DataError, MissingDataError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.targets import BIO, UPOS

COMMIT = "0123456789abcdef0123456789abcdef01234567"

Serve = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Serve:
    """Puts a table in place of what the Hub would give; returns the list of what is asked for."""

    def put(columns: dict[str, list[Any]], classes: dict[str, Any] | None = None) -> list[tuple[Any, ...]]:
        from datasets import Dataset

        table = Dataset.from_dict(columns)
        for column, feature in (classes or {}).items():
            table = table.cast_column(column, feature)
        asked: list[tuple[Any, ...]] = []
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)

        def resolve(*given: Any) -> str:
            asked.append(given)
            return COMMIT

        def open_table(*given: Any) -> Dataset:
            asked.append(given)
            return table

        monkeypatch.setattr(hub, "resolve", resolve)
        monkeypatch.setattr(hub, "_open", open_table)
        return asked

    return put


HUB = DataLocation(source="hub")


def test_commit_config_and_split_are_recorded(serve: Serve) -> None:
    asked = serve({"sentence1": ["a"], "sentence2": ["b"], "label": ["1"]})
    found = load(get_task("pawsx"), "test", "ko", HUB)
    assert found.rows == (PairRow("1", "a", "b", "paraphrase"),)
    assert asked == [("google/xtreme", None), ("google/xtreme", "PAWS-X.ko", "test", COMMIT)]
    recorded = {
        "kind": "hub",
        "repo": "google/xtreme",
        "config": "PAWS-X.ko",
        "split": "test",
        "commit": COMMIT,
    }
    assert {name: found.origin[name] for name in recorded} == recorded


def test_a_given_revision_is_resolved(serve: Serve) -> None:
    asked = serve({"sentence1": ["a"], "sentence2": ["b"], "label": ["1"]})
    load(get_task("pawsx"), "test", "ko", DataLocation(source="hub", revision="v1"))
    assert asked[0] == ("google/xtreme", "v1")


def test_the_converted_branch_of_a_script_only_repository(serve: Serve) -> None:
    answers = {f"answer{n}": [text] for n, text in enumerate("pqrs")}
    asked = serve({"id": ["x"], "context": ["c"], "question": ["q?"], **answers, "label": [3]})
    assert load(get_task("cosmosqa"), "train", "en", HUB).rows == (ChoiceRow("x", "c q?", tuple("pqrs"), 3),)
    assert asked[0] == ("allenai/cosmos_qa", "refs/convert/parquet")


def test_class_labels_are_read_by_name(serve: Serve) -> None:
    from datasets import ClassLabel

    serve(
        {"pairID": ["7e", "8n"], "premise": ["a", "c"], "hypothesis": ["b", "d"], "label": [0, 2]},
        {"label": ClassLabel(names=["entailment", "neutral", "contradiction"])},
    )
    rows = load(get_task("mnli"), "train", "en", HUB).rows
    assert rows == (PairRow("7e", "a", "b", "entailment"), PairRow("8n", "c", "d", "contradiction"))


def test_withheld_class_labels_are_refused(serve: Serve) -> None:
    from datasets import ClassLabel

    names = ClassLabel(names=["entailment", "neutral", "contradiction"])
    serve({"pairID": ["7e"], "premise": ["a"], "hypothesis": ["b"], "label": [-1]}, {"label": names})
    with pytest.raises(DataError, match=r"nyu-mll/multi_nli .*: record 1: no label"):
        load(get_task("mnli"), "train", "en", HUB)


@pytest.mark.parametrize(
    ("task", "column", "names", "tags"),
    [("panx", "ner_tags", BIO, ("B-LOC", "O")), ("udpos", "pos_tags", UPOS, ("PROPN", "PUNCT"))],
)
def test_tags_are_read_by_name(
    serve: Serve, task: str, column: str, names: tuple[str, ...], tags: tuple[str, ...]
) -> None:
    from datasets import ClassLabel, Sequence

    numbers = [[names.index(tag) for tag in tags]]
    asked = serve(
        {"tokens": [["Berlin", "."]], column: numbers}, {column: Sequence(ClassLabel(names=list(names)))}
    )
    assert load(get_task(task), "dev", "de", HUB).rows == (TaggedRow("1", ("Berlin", "."), tags),)
    assert asked[1][1] == {"panx": "PAN-X.de", "udpos": "udpos.German"}[task]


def test_one_table_of_all_languages_is_filtered(serve: Serve) -> None:
    serve(
        {
            "language": ["ar", "de", "ar"], "sentence1": list("abc"), "sentence2": list("def"),
            "gold_label": ["neutral", "entailment", "contradiction"],
        }
    )  # fmt: skip
    rows = load(get_task("xnli"), "dev", "ar", HUB).rows
    assert rows == (PairRow("1", "a", "d", "neutral"), PairRow("2", "c", "f", "contradiction"))


def test_tydiqa_is_filtered_by_the_prefix_of_the_id(serve: Serve) -> None:
    answers = [{"text": ["Anna"], "answer_start": [start]} for start in (0, 4)]
    serve(
        {
            "id": ["swahili-1-0", "english-2-0"], "question": ["nani?", "who?"],
            "context": ["Anna alikwenda.", "But Anna went."], "answers": answers,
        }
    )  # fmt: skip
    rows = load(get_task("tydiqa"), "train", "en", HUB).rows
    assert rows == (QuestionRow("english-2-0", "who?", "But Anna went.", (Answer("Anna", 4),)),)


def test_offsets_of_stripped_contexts_are_put_right(serve: Serve) -> None:
    """The copy lost the context's first space, so that every answer stands one character earlier."""
    columns = {"id": ["a"], "question": ["q"], "context": ["Anna, Anna."]}
    serve({**columns, "answers": [{"text": ["Anna"], "answer_start": [7]}]})
    rows = load(get_task("xquad"), "dev", "zh", HUB).rows
    assert rows == (QuestionRow("a", "q", "Anna, Anna.", (Answer("Anna", 6),)),)
    serve({**columns, "answers": [{"text": ["Berlin"], "answer_start": [7]}]})
    with pytest.raises(DataError, match="question a: the answer 'Berlin' is not at character 7"):
        load(get_task("xquad"), "dev", "zh", HUB)


def test_squad_offsets_are_not_moved(serve: Serve) -> None:
    columns = {"id": ["a"], "question": ["q"], "context": ["Anna, Anna."]}
    serve({**columns, "answers": [{"text": ["Anna"], "answer_start": [7]}]})
    with pytest.raises(DataError, match="is not at character 7"):
        load(get_task("squad"), "dev", "en", HUB)
    serve({**columns, "answers": [{"text": [], "answer_start": []}]})
    assert load(get_task("squad_v2"), "dev", "en", HUB).rows == (QuestionRow("a", "q", "Anna, Anna.", ()),)


def test_tatoeba_takes_line_ends_off(serve: Serve) -> None:
    asked = serve({"source_sentence": ["Ja.\n"], "target_sentence": ["Yes.\n"]})
    assert load(get_task("tatoeba"), "test", "de", HUB).rows == (
        RetrievalRow("1", "Ja.", "query", ("en-1",)),
        RetrievalRow("en-1", "Yes.", "candidate"),
    )
    assert asked[1][1] == "tatoeba.deu"


@pytest.mark.parametrize(
    ("task", "columns", "expected"),
    [
        (
            "hellaswag",
            {"ind": [4], "ctx": ["c"], "endings": [list("abcd")], "label": ["3"]},
            ChoiceRow("4", "c", tuple("abcd"), 3),
        ),
        (
            "csqa",
            {
                "id": ["x"], "question": ["q"], "answerKey": ["E"],
                "choices": [{"label": list("ABCDE"), "text": list("vwxyz")}],
            },
            ChoiceRow("x", "q", tuple("vwxyz"), 4),
        ),
        (
            "siqa",
            {
                "context": ["c"], "question": ["q"], "answerA": ["a"], "answerB": ["b"], "answerC": ["c"],
                "label": ["1"],
            },
            ChoiceRow("1", "c q", tuple("abc"), 0),
        ),
    ],
)  # fmt: skip
def test_choices(serve: Serve, task: str, columns: dict[str, list[Any]], expected: ChoiceRow) -> None:
    serve(columns)
    assert load(get_task(task), "dev", "en", HUB).rows == (expected,)


def test_xcopa_has_the_same_fingerprint_from_both(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "xcopa").mkdir()
    (tmp_path / "xcopa/val-sw.jsonl").write_text(
        '{"premise": "p", "choice1": "a", "choice2": "b", "question": "effect", "label": 1, "idx": 0}\n'
    )
    serve(
        {
            "premise": ["p"], "choice1": ["a"], "choice2": ["b"], "question": ["effect"], "label": [1],
            "idx": [0], "changed": [False],
        }
    )  # fmt: skip
    xcopa = get_task("xcopa")
    found = (
        load(xcopa, "dev", "sw", HUB),
        load(xcopa, "dev", "sw", DataLocation(data_dir=tmp_path, source="folder")),
    )
    assert found[0].fingerprint == found[1].fingerprint


def test_changed_columns_are_named(serve: Serve) -> None:
    serve({"sentence1": ["a"], "text2": ["b"], "label": ["1"]})
    with pytest.raises(
        DataError, match=r"google/xtreme .*no column sentence2 \(it has: sentence1, text2, label\)"
    ):
        load(get_task("pawsx"), "dev", "de", HUB)


def test_unknown_labels_name_the_record(serve: Serve) -> None:
    serve({"sentence1": ["a", "b"], "sentence2": ["b", "c"], "label": ["1", "2"]})
    with pytest.raises(
        DataError, match="record 2: label '2' is not one of pawsx's: different, paraphrase, 0, 1"
    ):
        load(get_task("pawsx"), "dev", "de", HUB)


def test_a_local_parquet_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Through `load_dataset` itself, as for a repository of parquet files."""
    from datasets import Dataset, load_dataset

    path = str(tmp_path / "validation.parquet")
    Dataset.from_dict({"sentence1": ["a"], "sentence2": ["b"], "label": ["0"]}).to_parquet(path)
    opened = load_dataset(
        "parquet", data_files={"validation": path}, split="validation", cache_dir=str(tmp_path)
    )
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(hub, "_open", lambda *given: opened)
    found = load(get_task("pawsx"), "dev", "de", DataLocation(source="hub", revision=COMMIT))
    assert found.rows == (PairRow("1", "a", "b", "different"),)
    assert found.origin["commit"] == COMMIT


def test_languages_that_the_hub_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    with pytest.raises(MissingDataError, match="the Hub dataset google/xtreme has tatoeba not in 'yi'"):
        load(get_task("tatoeba"), "test", "yi", HUB)


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ConnectionError("pool(host=...)\nmore"),
            "the Hub, which has google/xtreme, cannot be reached (ConnectionError)",
        ),
        (OSError("401: no\nmore"), "the Hub dataset google/xtreme cannot be read (OSError: 401: no)"),
    ],
)
def test_no_network_is_one_sentence(monkeypatch: pytest.MonkeyPatch, error: OSError, message: str) -> None:
    import huggingface_hub

    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", refuse)
    with pytest.raises(MissingDataError) as caught:
        load(get_task("pawsx"), "dev", "de", HUB)
    assert message in str(caught.value)
    assert "more" not in str(caught.value)


def test_offline_asks_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "resolve", lambda *_: pytest.fail("the Hub was asked"))
    with pytest.raises(MissingDataError, match="HF_HUB_OFFLINE is set"):
        load(get_task("pawsx"), "dev", "de", HUB)


def test_resolving(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    asked: list[tuple[str, str | None]] = []

    class Info:
        sha = COMMIT

    def tell(_: object, repo: str, revision: str | None, timeout: float) -> Info:
        asked.append((repo, revision))
        return Info()

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", tell)
    assert hub.resolve("a/b", "refs/convert/parquet") == COMMIT
    assert hub.resolve("a/b", "f" * 40) == "f" * 40
    assert asked == [("a/b", "refs/convert/parquet")]
