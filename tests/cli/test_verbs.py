"""The verbs that train, compose, evaluate and predict, as a user types them, on a tiny encoder."""

import json
from pathlib import Path

import pyarrow.parquet
import pytest
from typer.testing import CliRunner

from adapterstilts.cli.app import app

QUICK = ["--limit", "40", "--max-steps", "3", "--batch-size", "8"]


@pytest.fixture(scope="module")
def call(tiny_backbone, tmp_path_factory):
    """Runs a verb against one store; returns (exit code, standard output, standard error)."""
    store = tmp_path_factory.mktemp("runs")

    def run(*words: object, given: str | bytes | None = None) -> tuple[int, str, str]:
        environment = {"ADAPTERSTILTS_STORE": str(store), "ADAPTERSTILTS_BACKBONE": str(tiny_backbone)}
        environment |= {"ADAPTERSTILTS_DATA": "", "COLUMNS": "200"}
        result = CliRunner().invoke(app, [str(word) for word in words], env=environment, input=given)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.fixture(scope="module")
def trained(call):
    """Ids of an adapter for each bundled task that trains."""
    ids = {}
    for task in ("mini_nli", "mini_qa", "mini_ner", "mini_paraphrase"):
        code, out, err = call("train-adapter", task, *QUICK, "--json")
        assert code == 0, err
        ids[task] = json.loads(out)["id"]
    return ids


@pytest.mark.parametrize("kind", ["sequential", "stack"])
def test_compose_and_evaluate_every_language(call, trained, kind):
    code, out, err = call(kind, "mini_paraphrase", trained["mini_nli"], *QUICK, "--json")
    assert code == 0, err
    code, out, err = call("evaluate", json.loads(out)["id"], "--json")
    assert code == 0, err
    (found,) = json.loads(out)
    assert found["task"] == "mini_paraphrase" and found["split"] == "test"
    assert len(found["languages"]) == 10
    others = [each["score"] for code, each in found["languages"].items() if code != "en"]
    assert found["mean_of_others"] == pytest.approx(sum(others) / 9)
    assert found["transfer_gap"] == pytest.approx(found["languages"]["en"]["score"] - sum(others) / 9)


def test_fuse_shows_attention_and_average_takes_weights(call, trained):
    code, out, err = call("fuse", "mini_paraphrase", trained["mini_nli"], trained["mini_qa"], *QUICK)
    assert code == 0, err
    assert "layer  0 attention" in out and "next: adapterstilts evaluate fuse-mini_paraphrase" in out
    code, out, err = call(
        "average",
        "mini_ner",
        trained["mini_nli"],
        trained["mini_qa"],
        "--weights",
        "0.7,0.3",
        *QUICK,
        "--json",
    )
    assert code == 0, err
    job = json.loads((Path(json.loads(out)["path"]) / "job.json").read_text())
    assert job["composition"]["weights"] == [0.7, 0.3]


def test_the_table_has_languages_means_and_metrics(call, trained):
    code, out, err = call("evaluate", trained["mini_ner"], "--languages", "en,hi,zh")
    assert code == 0, err
    for text in ("hi", "zh", "mean without en", "transfer gap", "accuracy", "precision"):
        assert text in out


def test_predictions_are_kept_as_parquet(call, trained):
    _, out, _ = call("evaluate", trained["mini_qa"], "--languages", "ar", "--json")
    run = json.loads(out)[0]["languages"]["ar"]["run"]
    _, out, _ = call("runs", "show", run, "--json")
    table = pyarrow.parquet.read_table(Path(json.loads(out)["path"]) / "predictions.parquet")
    assert table.num_rows == 60 and {"id", "text", "start", "end"} <= set(table.column_names)


@pytest.mark.parametrize(
    ("task", "line", "keys"),
    [
        ("mini_nli", "Anna sees Tom.\tTom is here.", {"id", "label", "probabilities"}),
        ("mini_ner", "Anna lives in Paris.", {"id", "tags", "spans"}),
        ("mini_qa", "Who?\tAnna went to Paris.", {"id", "text", "start", "end"}),
    ],
)
def test_predict_text_and_file_agree(call, trained, tmp_path, task, line, keys):
    code, out, err = call("predict", trained[task], line)
    assert code == 0, err
    (prediction,) = [json.loads(each) for each in out.splitlines()]
    assert keys <= set(prediction)
    file = tmp_path / "inputs.txt"
    file.write_text(line + "\n" + line + "\n", encoding="utf-8")
    code, out, err = call("predict", trained[task], "--file", file)
    assert code == 0, err
    assert len(out.splitlines()) == 2
    code, out, err = call("predict", trained[task], "--file", "-", given=line)
    assert code == 0 and len(out.splitlines()) == 1


def test_predict_reads_utf8_with_a_mark_from_standard_input(call, trained):
    line = json.dumps({"id": "own", "first": "Anna sees Tom.", "second": "Tom is here."})
    code, out, err = call("predict", trained["mini_nli"], "--file", "-", given="\ufeff" + line + "\r\n")
    assert code == 0 and json.loads(out)["id"] == "own", err
    code, _, err = call("predict", trained["mini_nli"], "--file", "-", given=b"caf\xe9")
    assert code == 2 and "UTF-8" in err


def test_a_file_that_does_not_tell_its_language_is_not_taken_for_all(call, tmp_path):
    (tmp_path / "own.tsv").write_text("a\tb\tentailment\nc\td\tneutral\n")
    (tmp_path / "other.tsv").write_text("e\tf\tentailment\ng\th\tneutral\n")
    code, out, err = call("train-adapter", "mnli", "--train-file", tmp_path / "other.tsv", *QUICK, "--json")
    assert code == 0, err
    run = json.loads(out)["id"]
    code, _, err = call("evaluate", run, "--eval-file", tmp_path / "own.tsv")
    assert code == 2 and "pass --languages CODE" in err.replace("\n", " ")
    code, _, err = call("evaluate", run, "--eval-file", tmp_path / "own.tsv", "--languages", "de,fr")
    assert code == 2 and "is one file, but 2 languages" in err.replace("\n", " ")
    code, out, err = call("evaluate", run, "--eval-file", tmp_path / "own.tsv", "--languages", "de", "--json")
    assert code == 0 and list(json.loads(out)[0]["languages"]) == ["de"], err


def test_blanked_development_answers_are_replaced_by_held_out_rows(call, tmp_path):
    for split, answer, start in (("train", "Paris", 13), ("dev", "", 0)):
        folder = tmp_path / "tydiqa" / f"tydiqa-goldp-v1.1-{split}"
        folder.mkdir(parents=True)
        paragraphs = [
            {
                "context": f"Anna went to Paris {number}.",
                "qas": [
                    {
                        "id": str(number),
                        "question": "Where?",
                        "answers": [{"text": answer, "answer_start": start}],
                    }
                ],
            }
            for number in range(20)
        ]
        file = folder / f"tydiqa.goldp.en.{split}.json"
        file.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    code, _, err = call("baseline", "tydiqa", "--data-dir", tmp_path, *QUICK)
    assert code == 0 and "1 training rows are held out" in err.replace("\n", " "), err
    given = ["--dev-file", tmp_path / "tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.en.dev.json"]
    code, _, err = call("baseline", "tydiqa", "--data-dir", tmp_path, *QUICK, *given)
    assert code == 2 and "blanked" in err


def test_predicted_spans_point_into_the_text(call, trained):
    context = "Anna went to Paris. Tom saw the green house in Berlin."
    _, out, _ = call("predict", trained["mini_qa"], f"Where is the house?\t{context}")
    found = json.loads(out)
    assert context[found["start"] : found["end"]] == found["text"]


def test_predict_neighbours(call, trained, tmp_path):
    texts = tmp_path / "texts.txt"
    texts.write_text("the big house\na small dog\nthe green city\n")
    code, out, err = call("predict", trained["mini_nli"], "a small dog", "--candidates", texts)
    assert code == 0, err
    assert json.loads(out)["neighbours"][0]["id"] == "2"


BAD = [
    (["train-adapter", "mini_nil"], "did you mean 'mini_nli'"),
    (["train-adapter", "mini_nli", "--config", "seq_bm"], "did you mean 'seq_bn'"),
    (["train-adapter", "mini_nli", "--set", "reduction_facto=8"], "did you mean 'reduction_factor'"),
    (["train-adapter", "mini_nli", "--set", "reduction_factor"], "requires KEY=VALUE"),
    (["train-adapter", "mini_nli", "--encoding", "max_lenght=64"], "did you mean 'max_length'"),
    (
        ["train-adapter", "mini_nli", "--set", "reduction_factor=0"],
        "greater than or equal to 0.001, not 0",
    ),
    (["train-adapter", "mini_nli", "--encoding", "words=written"], "words has an effect on tagging tasks"),
    (["train-adapter", "mini_nli", "--translated-languages", ",de", "--translated", "x"], "not ',de'"),
    (["train-adapter", "mini_nli", "--epochs", "0"], "epochs"),
    (["train-adapter", "mini_nli", "--epochs", "inf"], "epochs"),
    (["train-adapter", "mini_nli", "--learning-rate", "nan"], "learning_rate"),
    (["train-adapter", "mini_nli", "--limit", "0"], "limit"),
    (["train-adapter", "mini_nli", "--train-file", "absent.tsv"], "absent.tsv"),
    (["train-adapter", "mini_nli", "--source", "nowhere"], "source"),
    (["train-adapter", "mini_nli", "--backbone", "./no/such/folder"], "no/such/folder"),
    (["train-adapter", "mini_nli", "--set", "reduction_factor=[1"], "reduction_factor=[1: not YAML"),
    (["train-adapter", "mini_nli", "--seed", "-1"], "seed"),
    (["train-adapter", "mini_nli", "--store", "/etc/passwd"], "/etc/passwd"),
    (["train-adapter", "squad"], "SQuAD"),
    (["evaluate", "no-such-run"], "no run 'no-such-run'"),
    (["predict", "no-such-run", "text"], "no run"),
    (["average", "mini_ner", "a", "b", "--weights", "half"], "0.7,0.3"),
]


@pytest.mark.parametrize(("words", "message"), BAD, ids=[" ".join(words[:4]) for words, _ in BAD])
def test_bad_input_is_one_message_and_exit_2(call, words, message):
    code, out, err = call(*words)
    assert code == 2, err
    assert message in err and "Traceback" not in err
    assert out == ""


def test_bad_input_that_needs_a_run(call, trained, tmp_path):
    nli, qa = trained["mini_nli"], trained["mini_qa"]
    for words, message in [
        (["evaluate", nli, "--languages", "xx"], "language of mini_nli"),
        (["evaluate", nli, "--task", "mini_ner"], "has no head for mini_ner"),
        (["evaluate", nli, "--split", "tets"], "did you mean 'test'"),
        (["evaluate", nli, "--precision", "fp16"], "precision: should be 'auto', 'fp32' or 'bf16'"),
        (["fuse", "mini_ner", nli, qa, "--config", "lora"], "remove --config and --set"),
        (["fuse", "mini_ner", nli], "at least 2"),
        (["fuse", "mini_ner", nli, nli], "twice"),
        (["fuse", "mini_retrieval", nli, qa], "has no training data"),
        (["predict", nli], "either text or --file"),
        (["predict", qa, "a question without a context"], "question TAB context"),
        (["predict", nli, "--file", tmp_path / "absent"], "absent"),
    ]:
        code, _, err = call(*words)
        assert code == 2 and message in err.replace("\n", " "), (words, err)


def test_lora_is_not_fused(call):
    code, out, err = call("train-adapter", "mini_nli", "--config", "lora", *QUICK, "--json")
    assert code == 0, err
    lora = json.loads(out)["id"]
    code, out, err = call("train-adapter", "mini_ner", "--config", "lora", *QUICK, "--json")
    code, _, err = call("fuse", "mini_paraphrase", lora, json.loads(out)["id"], *QUICK)
    assert code == 2 and "stack, sequential or average" in err


@pytest.mark.parametrize(
    "config", ["double_seq_bn", "par_bn", "seq_bn_inv", "ia3", "prefix", "compacter", "unipelt"]
)
def test_every_config_trains_and_evaluates(call, config):
    settings = ["--set", "reduction_factor=4"] if config == "compacter" else []
    code, out, err = call("train-adapter", "mini_ner", "--config", config, *settings, *QUICK, "--json")
    assert code == 0, err
    code, out, err = call("evaluate", json.loads(out)["id"], "--languages", "tr", "--json")
    assert code == 0, err


def test_a_language_adapter_is_exchanged_per_language(call, trained, tmp_path):
    _, out, _ = call("train-adapter", "mini_ner", "--config", "seq_bn_inv", *QUICK, "--seed", 1, "--json")
    _, again, _ = call("train-adapter", "mini_ner", "--config", "seq_bn_inv", *QUICK, "--seed", 2, "--json")
    for code, run in (("en", json.loads(out)), ("tr", json.loads(again))):
        (tmp_path / code).symlink_to(Path(run["path"]) / "adapters" / "mini_ner")
    given = ["--language-adapter", f"{tmp_path}/{{lang}}"]
    code, out, err = call("baseline", "mini_ner", *QUICK, *given, "--json")
    assert code == 0, err
    run = json.loads(out)["id"]
    scored = {}
    for option in (given, ["--language-adapter", f"{tmp_path}/en"]):
        code, out, err = call("evaluate", run, "--languages", "tr", *option, "--json")
        assert code == 0, err
        scored[option[1]] = json.loads(out)[0]["languages"]["tr"]["run"]
    assert len(set(scored.values())) == 2
    code, out, err = call("evaluate", run, "--languages", "tr", "--json")
    assert code == 0, err
    assert json.loads(out)[0]["languages"]["tr"]["run"] == scored[given[1]]  # the one it names for "tr"
    code, _, err = call("evaluate", run, "--languages", "sw", *given)
    assert code == 2 and "language adapter" in err
    code, _, err = call("evaluate", trained["mini_ner"], "--languages", "tr", *given)
    assert code == 2 and "without a language adapter" in err
