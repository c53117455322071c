"""Several tasks and plain text on the command line, on a tiny encoder."""

import json

import pytest
from typer.testing import CliRunner

from adapterstilts.cli.app import app

QUICK = ["--limit", "40", "--max-steps", "3", "--batch-size", "8"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    found = tmp_path_factory.mktemp("several")
    for language in ("sw", "de"):
        (found / f"{language}.txt").write_text("the cat saw Anna in the green house\n" * 30, encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def call(tiny_backbone, folder):
    """Runs a verb against one store; returns (exit code, standard output, standard error)."""
    environment = {"ADAPTERSTILTS_STORE": str(folder / "runs"), "ADAPTERSTILTS_BACKBONE": str(tiny_backbone)}
    environment |= {"ADAPTERSTILTS_DATA": "", "COLUMNS": "200"}

    def run(*words: object) -> tuple[int, str, str]:
        result = CliRunner().invoke(app, [str(word) for word in words], env=environment)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


def test_several_tasks_train_evaluate_and_predict(call):
    code, out, err = call("train-adapter", "mini_nli+mini_ner", *QUICK, "--temperature", "1")
    assert code == 0, err
    assert "  mini_ner " in out and "  mini_nli " in out
    run = out.split()[0].rstrip(",")
    code, out, err = call("evaluate", run, "--languages", "en,sw", "--json")
    assert code == 0, err
    assert {found["task"] for found in json.loads(out)} == {"mini_nli", "mini_ner"}
    code, out, err = call("predict", run, "--task", "mini_ner", "Anna saw Berlin .")
    assert code == 0 and "tags" in json.loads(out), err
    code, out, err = call("predict", run, "Anna saw Berlin .")
    assert code == 2 and "--task NAME" in err
    assert run in call("runs")[1]


def test_text_trains_a_language_adapter(call, folder):
    code, out, err = call("train-adapter", "mlm", "--language", "sw", "--text", folder / "sw.txt", *QUICK)
    assert code == 0, err
    assert (
        out.startswith("single-mlm-sw-")
        and "next: adapterstilts train-adapter TASK --language-adapter" in out
    )
    assert "has no head for masked subwords" in err
    adapter = out.split()[0].rstrip(",")
    code, out, err = call("train-adapter", "mini_nli", *QUICK, "--language-adapter", adapter)
    assert code == 0, err
    code, _, err = call("evaluate", adapter, "--task", "mlm")
    assert code == 2 and "plain text cannot be evaluated" in err


def test_text_is_mixed_into_a_task(call, folder):
    text = ("--mlm", folder / "{lang}.txt", "--mlm-languages", "sw,de", "--mlm-ratio", "1")
    code, out, err = call("train-adapter", "mini_nli", *text, *QUICK, "--json")
    assert code == 0, err
    assert json.loads(out)["id"].startswith("single-mini_nli+mlm-")
    code, _, err = call("train-adapter", "mini_nli", "--mlm-languages", "sw")
    assert code == 2 and "--mlm FILE" in err
