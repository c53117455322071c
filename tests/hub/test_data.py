"""Datasets of the Hub, loaded for real: every reader, lock files, and what is refused."""

from __future__ import annotations

import json
import socket
from typing import Any

import pytest

from adapterstilts.data.hub import READERS
from adapterstilts.data.lock import _dataset_of
from adapterstilts.data.rows import (
    Answer,
    ChoiceRow,
    PairRow,
    QuestionRow,
    RetrievalRow,
    Row,
    TaggedRow,
    TextRow,
    as_json,
)
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.registry import all_tasks
from adapterstilts.tasks.targets import UPOS
from tests.hub.conftest import Env, Outside
from tests.hub.fake_hub.releases import NLI, Files, multi_nli, parquet, release
from tests.hub.fake_hub.server import Hub

LOAD = """
import json, sys, time
time.sleep = lambda seconds: None  # the libraries' pauses between tries
from adapterstilts.data.rows import as_json
from adapterstilts.data.load import DataLocation, load
from adapterstilts.errors import StiltsError
from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.registry import all_tasks

told = []
for name, split, language, revision in json.loads(sys.argv[1]):
    try:
        found = load(get_task(name), split, language, DataLocation(source="hub", revision=revision))
        told.append({**found.origin, "rows": [as_json(row) for row in found.rows]})
    except StiltsError as error:
        told.append({"error": f"{type(error).__name__}: {error}"})
print(json.dumps(told))
"""
Case = tuple[str, str, str, str | None]  # task, split, language, revision


def load(outside: Outside, env: Env, *cases: Case) -> list[dict[str, Any]]:
    """What loading each of them gives in a process of its own: rows with their origin, or the error."""
    told: list[dict[str, Any]] = json.loads(outside(["-c", LOAD, json.dumps(cases)], env).stdout)
    return told


def texts(found: dict[str, Any]) -> list[str]:
    """The first text of each row."""
    return [row["first"] for row in found["rows"]]


SQUAD = {"id": ["a"], "question": ["Who?"], "context": ["But Anna went."]}
GIVEN = {"answers": [{"text": ["Anna"], "answer_start": [4]}]}
LETTERS = {f"answer{n}": [text] for n, text in enumerate("pqrs")}
TYDIQA = {
    "id": ["german-1", "swahili-2"], "question": ["Wer?", "Nani?"], "context": ["Anna.", "Tom."],
    "answers": [{"text": [name], "answer_start": [0]} for name in ("Anna", "Tom")],
}  # fmt: skip
XTREME = {
    "XNLI": parquet(
        {"language": ["de", "sw"], "sentence1": ["a", "b"], "sentence2": ["c", "d"], "gold_label": NLI[:2]}
    ),
    "udpos.German": parquet(
        {"tokens": [["Ja", "."]], "pos_tags": [[UPOS.index("INTJ"), UPOS.index("PUNCT")]]},
        {"pos_tags": [list(UPOS)]},
    ),
    "XQuAD.de": parquet({**SQUAD, "answers": [{"text": ["Anna"], "answer_start": [5]}]}),
    "tydiqa": parquet(TYDIQA),
    "tatoeba.deu": parquet({"source_sentence": ["Ja.\n"], "target_sentence": ["Yes.\n"]}),
}
DATASETS: dict[str, Files] = {
    "google/xtreme": release({config: {"validation": table} for config, table in XTREME.items()}),
    "stanfordnlp/snli": release(
        {
            "plain_text": {
                "train": parquet(
                    {"premise": ["a", "b"], "hypothesis": ["c", "d"], "label": [-1, 2]}, {"label": NLI}
                )
            }
        }
    ),
    "facebook/anli": release(
        {
            "plain_text": {
                f"train_r{n}": parquet(
                    {"uid": [f"u{n}"], "premise": ["a"], "hypothesis": ["b"], "label": [n - 1]},
                    {"label": NLI},
                )
                for n in (1, 2, 3)
            }
        }
    ),
    "rajpurkar/squad": release({"plain_text": {"validation": parquet({**SQUAD, **GIVEN})}}),
    "Rowan/hellaswag": release(
        {
            "default": {
                "train": parquet({"ind": [4], "ctx": ["c"], "endings": [list("abcd")], "label": ["3"]})
            }
        }
    ),
    "tau/commonsense_qa": release(
        {
            "default": {
                "train": parquet(
                    {
                        "id": ["x"], "question": ["q"], "answerKey": ["E"],
                        "choices": [{"label": list("ABCDE"), "text": list("vwxyz")}],
                    }
                )
            }
        }
    ),
    "lighteval/siqa": {
        "train.jsonl": b'{"context": "c", "question": "q", "answerA": "a", "answerB": "b", "answerC": "d", '
        b'"label": "1"}\n'
    },
    "nyu-mll/glue": release(
        {"qqp": {"train": b'question1,question2,label\n"a, b",c,1\n'}, "cola": {"train": b"text\nx\n"}}, "csv"
    ),
    "cambridgeltl/xcopa": release(
        {
            language: {
                "validation": parquet(
                    {
                        "premise": [language], "choice1": ["a"], "choice2": ["b"], "question": ["effect"],
                        "label": [1], "idx": [0],
                    }
                )
            }
            for language in ("sw", "th")
        }
    ),
    "wikimedia/wikipedia": release({"20231101.sw": {"train": parquet({"text": ["One.\n\nTwo."]})}}),
}  # fmt: skip
EXPECTED: dict[tuple[str, str, str], list[Row]] = {
    ("xnli", "dev", "sw"): [PairRow("1", "b", "d", "neutral")],
    ("udpos", "dev", "de"): [TaggedRow("1", ("Ja", "."), ("INTJ", "PUNCT"))],
    ("xquad", "dev", "de"): [QuestionRow("a", "Who?", "But Anna went.", (Answer("Anna", 4),))],
    ("tydiqa", "dev", "sw"): [QuestionRow("swahili-2", "Nani?", "Tom.", (Answer("Tom", 0),))],
    ("tatoeba", "test", "de"): [
        RetrievalRow("1", "Ja.", "query", ("en-1",)), RetrievalRow("en-1", "Yes.", "candidate"),
    ],
    ("snli", "train", "en"): [PairRow("2", "b", "d", "contradiction")],
    ("anli", "train", "en"): [PairRow(f"u{n}", "a", "b", NLI[n - 1]) for n in (1, 2, 3)],
    ("squad_v1", "dev", "en"): [QuestionRow("a", "Who?", "But Anna went.", (Answer("Anna", 4),))],
    ("hellaswag", "train", "en"): [ChoiceRow("4", "c", tuple("abcd"), 3)],
    ("csqa", "train", "en"): [ChoiceRow("x", "q", tuple("vwxyz"), 4)],
    ("siqa", "train", "en"): [ChoiceRow("1", "c q", ("a", "b", "d"), 0)],
    ("cosmosqa", "train", "en"): [ChoiceRow("x", "c q?", tuple("pqrs"), 3)],
    ("qqp", "train", "en"): [PairRow("1", "a, b", "c", "duplicate")],
    ("xcopa", "dev", "sw"): [ChoiceRow("0", "sw What happened as a result?", ("a", "b"), 1)],
    ("mlm", "train", "sw"): [TextRow("1.1", "One."), TextRow("1.2", "Two.")],
    ("own.yaml", "train", "en"): [PairRow("1", "a", None, "yes")],
}  # fmt: skip
OWN = """
name: own
kind: sequence
labels: [yes, no]
columns: {first: text, label: class}
hub: {repo: me/mine, splits: {train: train}}
"""


def fill(hub: Hub) -> dict[str, str]:
    """Puts all datasets there; returns their commits."""
    commits = {name: hub.put("datasets", name, files) for name, files in DATASETS.items()}
    commits["me/mine"] = hub.put("datasets", "me/mine", {"train.csv": b"text,class\na,yes\n"})
    table = parquet({"id": ["x"], "context": ["c"], "question": ["q?"], **LETTERS, "label": [3]})
    cosmos = "allenai/cosmos_qa"  # the repository itself has only a loading script
    hub.put("datasets", cosmos, {"cosmos_qa.py": b"raise SystemExit"})
    converted = {"default/train/0000.parquet": table}
    commits[cosmos] = hub.put("datasets", cosmos, converted, "refs/convert/parquet")
    return commits


def test_every_reader(hub: Hub, hub_env: Env, outside: Outside, tmp_path: Any) -> None:
    commits = fill(hub)
    (tmp_path / "work" / "own.yaml").write_text(OWN, "utf-8")
    cases: list[Case] = [(*key, None) for key in EXPECTED]
    for (name, *_), wanted, found in zip(
        cases, EXPECTED.values(), load(outside, hub_env, *cases), strict=True
    ):
        assert "error" not in found, (name, found)
        assert found["rows"] == json.loads(json.dumps([as_json(row) for row in wanted])), name
        assert found["commit"] == commits[found["repo"]], name
        assert found["kind"] == "hub"
    tasks = [get_task(name).hub for name, *_ in EXPECTED if name in all_tasks()]
    assert {source.reader for source in tasks if source} | {"table"} == READERS.keys()


def test_what_is_refused(hub: Hub, hub_env: Env, outside: Outside) -> None:
    hub.put("datasets", "rajpurkar/squad", {"squad.py": b"raise SystemExit('it ran')", "a.csv": b"x\n1\n"})
    hub.put("datasets", "nyu-mll/multi_nli", release({"default": {"train": parquet({"premise": ["a"]})}}))
    hub.put("datasets", "Rowan/hellaswag", {"README.md": b"---\nconfigs: [\n---\n"})
    hub.put("datasets", "tau/commonsense_qa", {"README.md": b"# nothing\n"})
    hub.put("datasets", "google/xtreme", release({"XNLI": {"train": parquet({"language": ["de"]})}}))
    hub.put("datasets", "facebook/anli", DATASETS["facebook/anli"])
    hub.put("datasets", "lighteval/siqa", {"train.parquet": b"PAR1 is not all that it takes PAR1"})
    wanted = {
        ("squad_v1", "dev", "en", None): "MissingDataError: .*no longer supported, but found squad.py",
        ("mnli", "train", "en", None): "DataError: nyu-mll/multi_nli .*no column pairID, hypothesis, label "
        r"\(it has: premise\): the dataset has changed; pass an earlier commit",
        ("hellaswag", "train", "en", None): "MissingDataError: .*Rowan/hellaswag cannot be read",
        ("csqa", "train", "en", None): "MissingDataError: .*tau/commonsense_qa cannot be read",
        ("xnli", "dev", "de", None): "MissingDataError: .*google/xtreme cannot be read .*validation",
        ("pawsx", "dev", "de", None): "MissingDataError: .*google/xtreme cannot be read .*PAWS-X.de",
        ("qqp", "train", "en", None): "MissingDataError: .*nyu-mll/glue cannot be read .*RepositoryNotFound",
        ("anli", "train", "en", "v9"): "MissingDataError: .*facebook/anli cannot be read .*RevisionNotFound",
        ("anli", "train", "en", "0" * 40): "MissingDataError: .*facebook/anli cannot be read",
        ("siqa", "train", "en", None): "MissingDataError: .*lighteval/siqa cannot be read",
    }
    for (case, message), found in zip(wanted.items(), load(outside, hub_env, *wanted), strict=True):
        with pytest.raises(ValueError, match=message):
            raise ValueError(found.get("error", f"{case} was read"))


@pytest.mark.slow
def test_a_lock_file_is_obeyed(hub: Hub, hub_env: Env, outside: Outside, cli: Outside, tmp_path: Any) -> None:
    for source in (task.hub for task in all_tasks().values() if task.hub):
        hub.put("datasets", source.repo, {"README.md": b""}, source.revision or "main")
    old = hub.put("datasets", "nyu-mll/multi_nli", multi_nli(("old", "b", 0)))
    cli("tasks", "lock", env=hub_env)
    lock = tmp_path / "work" / "adapterstilts.lock.json"
    commits = json.loads(lock.read_text("utf-8"))["commits"]
    assert commits["nyu-mll/multi_nli"] == old
    assert commits.keys() == {_dataset_of(task.hub) for task in all_tasks().values() if task.hub}
    new = hub.put("datasets", "nyu-mll/multi_nli", multi_nli(("new", "b", 0)))
    case = ("mnli", "train", "en")
    locked, asked = load(outside, hub_env, (*case, None), (*case, "main"))
    assert (texts(locked), locked["commit"]) == (["old"], old)
    assert (texts(asked), asked["commit"]) == (["new"], new)

    # Of a Hub that cannot be reached the library gives any version that was read before: never another commit
    away = {**hub_env, "HF_ENDPOINT": f"http://127.0.0.1:{unused_port()}"}
    locked, asked = load(outside, away, (*case, None), (*case, "main"))
    assert f"the Hub did not return nyu-mll/multi_nli at {old[:12]}" in locked["error"]
    assert f"the cached commit {new[:12]}" in locked["error"]
    assert "cannot reach the Hub to read nyu-mll/multi_nli" in asked["error"]
    assert "--data-dir FOLDER" in asked["error"]


def unused_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
