"""The verb `predict`: what it reads and refuses, how it streams, and what it shows at a terminal."""

import io
import itertools
import json
import re

import pytest
from rich.console import Console
from typer.testing import CliRunner

from adapterstilts import TrainingOptions, train_adapter
from adapterstilts.cli import console
from adapterstilts.cli import predict as verb
from adapterstilts.cli.app import app
from adapterstilts.data.prediction_input import read_inputs
from adapterstilts.errors import AdapterError, ConfigError, DataError
from adapterstilts.model.host import Host
from adapterstilts.run import predictor
from adapterstilts.run.predict import predict_inputs

PAIR = "Anna sees Tom.\tTom is here."


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def options(tiny_backbone, store):
    hyperparameters = {"max_steps": 2, "batch_size": 8, "precision": "fp32"}
    return TrainingOptions(
        backbone=str(tiny_backbone), store=store, limit=20, hyperparameters=hyperparameters
    )


@pytest.fixture(scope="module")
def nli(options):
    return train_adapter("mini_nli", options).id


@pytest.fixture(scope="module")
def ner(options):
    return train_adapter("mini_ner", options).id


@pytest.fixture(scope="module")
def qa(options):
    return train_adapter("mini_qa", options).id


@pytest.fixture
def call(store, tmp_path, monkeypatch):
    """Runs `predict` in an empty folder; returns (exit code, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)

    def run(*words: object, given: str | bytes | None = None, charset: str = "utf-8") -> tuple[int, str, str]:
        environment = {"ADAPTERSTILTS_STORE": str(store), "ADAPTERSTILTS_DATA": "", "COLUMNS": "200"}
        arguments = ["predict", *map(str, words)]
        result = CliRunner(charset=charset).invoke(app, arguments, env=environment, input=given)
        if result.exception and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result.exit_code, result.stdout, result.stderr

    return run


@pytest.mark.parametrize("line", ["Anna sees Tom. Tom sees Anna.", '{"first": "Anna sees Tom."}'])
def test_a_pair_without_its_second_text_is_refused(call, nli, line):
    code, out, err = call(nli, line)
    assert (code, out) == (2, "") and "the text, line 1: one text, but this task compares two" in err


def test_a_backslash_before_t_is_text_as_it_is_in_a_file(call, ner, nli, tmp_path):
    text = r"Open C:\temp\notes in Berlin"
    (tmp_path / "win.txt").write_text(text + "\n", encoding="utf-8")
    assert call(ner, text) == call(ner, "--file", "win.txt")
    assert call(nli, PAIR.replace("\t", r"\t"))[1] == call(nli, PAIR)[1] != ""


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "half.jsonl",
            '{"first": "Anna \\ud83d", "second": "Tom."}',
            "line 1: field 'first' holds half",
        ),
        ("deep.jsonl", "[" * 5000, "deep.jsonl, line 1: not valid JSON"),
        (
            "digits.jsonl",
            '{"id": ' + "7" * 9000 + "}",
            "digits.jsonl, line 1: not valid JSON: a number",
        ),
        ("string.jsonl", '"a\\tb"', "string.jsonl, line 1: not a JSON object"),
        ("tail.jsonl", '{"first": "a", "second": "b"} x', "tail.jsonl, line 1: not valid JSON"),
        ("mac.txt", f"{PAIR}\r{PAIR}", "mac.txt, line 1: a carriage return"),
        ("empty.txt", "\n\n", "empty.txt: contains no text"),
        ("[red].txt", "a", "[red].txt, line 1: one text"),
    ],
)
def test_a_file_that_cannot_be_read_is_an_error_with_its_line(call, nli, tmp_path, name, content, said):
    (tmp_path / name).write_text(content, encoding="utf-8", newline="")
    code, out, err = call(nli, "--file", name)
    assert (code, out) == (2, "") and said in err.replace("\n", "")


def test_an_argument_that_is_not_utf8_is_an_error(call, nli):
    code, _, err = call(nli, "caf\udce9\tb")
    assert code == 2 and "not UTF-8 text (byte 0xe9)" in err


def test_an_empty_argument_is_not_left_out(call, ner):
    for arguments in (("",), ("Anna", " ")):
        code, out, err = call(ner, *arguments)
        assert (code, out) == (2, "") and "a text is empty" in err


def test_line_ends_do_not_change_predictions(call, nli, tmp_path):
    outputs = []
    for end in ("\n", "\r\n"):
        (tmp_path / "in.txt").write_bytes(("\ufeff" + PAIR + end + end + PAIR + end).encode())
        outputs.append(call(nli, "--file", "in.txt"))
    assert outputs[0] == outputs[1] and [json.loads(line)["id"] for line in outputs[0][1].splitlines()] == [
        "1",
        "3",
    ]


def test_letters_are_escaped_where_the_locale_cannot_hold_them(call, qa):
    _, utf8, _ = call(qa, "Wer?\tÄnne 😀 Öst")
    _, ascii_only, _ = call(qa, "Wer?\tÄnne 😀 Öst", charset="ascii")
    assert ascii_only.isascii() and json.loads(ascii_only) == json.loads(utf8)


@pytest.mark.parametrize(
    ("code", "hint"), [("zh-Hans", "did you mean 'zh'"), ("ZH", "did you mean 'zh'"), ("xx", "ISO")]
)
def test_an_unknown_language_code_is_an_error(call, nli, code, hint):
    exit_code, out, err = call(nli, PAIR, "--language", code)
    assert (exit_code, out) == (2, "") and f"unknown language code '{code}'" in err and hint in err
    assert call(nli, PAIR, "--language", "sw")[0] == 0


def test_a_length_beyond_the_positions_is_an_error(call, nli):
    code, _, err = call(nli, PAIR, "--encoding", "max_length=600")
    assert code == 2 and "max_length=600 is too long" in err and "136" in err


def test_a_file_is_read_a_portion_at_a_time(options, ner, monkeypatch):
    monkeypatch.setattr(predictor, "PORTION_ROWS", 4)
    taken = 0

    def lines():
        nonlocal taken
        for number in itertools.count():
            taken = number + 1
            yield f"Anna saw Berlin {number}"

    stream = predict_inputs(ner, read_inputs("tagging", lines(), "f"), options)
    for count in range(1, 30):
        next(stream)
        assert taken <= count + 4


def test_portions_do_not_change_predictions(options, nli, ner, qa, monkeypatch):
    inputs = {
        nli: ("sequence", [f"Anna sees {'Tom ' * n}.\tTom is here." for n in range(1, 12)]),
        ner: ("tagging", [f"Anna saw {'Berlin ' * n}" for n in range(1, 12)]),
        qa: ("span", [f"Who?\t{'Anna went to Paris. ' * n}" for n in range(1, 12)]),
    }
    whole = {run: list(predict_inputs(run, read_inputs(*form, "f"), options)) for run, form in inputs.items()}
    monkeypatch.setattr(predictor, "PORTION_ROWS", 3)
    for run, form in inputs.items():
        portions = list(predict_inputs(run, read_inputs(*form, "f"), options))
        assert rounded([each for _, each in portions]) == rounded([each for _, each in whole[run]])


def rounded(value):
    """Floats in single precision agree to about five digits, whatever they were padded to."""
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [rounded(each) for each in value]
    return pytest.approx(value, abs=1e-4) if isinstance(value, float) else value


def test_a_portion_ends_by_its_text_too(monkeypatch):
    monkeypatch.setattr(predictor, "PORTION_TEXT", 10)
    assert list(predictor.in_portions(["a" * 6, "b" * 6, "c" * 30, "d"], len)) == [
        ["a" * 6, "b" * 6], ["c" * 30], ["d"],
    ]  # fmt: skip


def test_what_was_computed_before_a_wrong_line_is_given(options, ner, monkeypatch):
    monkeypatch.setattr(predictor, "PORTION_ROWS", 2)
    stream = predict_inputs(ner, read_inputs("tagging", ["a b", "c", "d", "\u200b"], "f"), options)
    assert [next(stream)[1]["id"] for _ in range(2)] == ["1", "2"]
    with pytest.raises(DataError, match="f, line 4"):
        next(stream)


def test_neighbours_are_searched_among_all_portions(options, nli, monkeypatch):
    from adapterstilts.data.prediction_input import candidates

    def found():
        texts = candidates(["a red cat", "the river", "Anna saw Tom", "a small dog"], "c")
        queries = read_inputs("retrieval", ["a small dog", "the river"], "q")
        return list(predict_inputs(nli, itertools.chain(queries, texts), options, retrieval=True))

    whole = found()
    assert [each["neighbours"][0]["id"] for _, each in whole] == ["4", "2"]
    assert [item.row.text for item, _ in whole] == ["a small dog", "the river"]
    monkeypatch.setattr(predictor, "PORTION_ROWS", 3)
    assert rounded([each for _, each in found()]) == rounded([each for _, each in whole])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(call, options, nli, ner, monkeypatch, value):
    forward = Host.forward
    monkeypatch.setattr(Host, "forward", lambda *given: forward(*given) * value)
    for run, text in ((nli, PAIR), (ner, "Anna saw Berlin")):
        code, out, err = call(run, text)
        assert (code, out) == (2, "") and "not finite" in err
    from adapterstilts import evaluate as evaluate_run

    with pytest.raises(AdapterError, match="not finite"):
        evaluate_run(nli, languages=["de"], options=options)


def test_embeddings_that_are_not_finite_are_refused(call, nli, tmp_path, monkeypatch):
    (tmp_path / "texts.txt").write_text("a\nb\n")
    hidden = Host.hidden_states
    monkeypatch.setattr(Host, "hidden_states", lambda *given: hidden(*given) * float("nan"))
    code, out, err = call(nli, "a dog", "--candidates", "texts.txt")
    assert (code, out) == (2, "") and "not finite" in err


@pytest.fixture
def terminal(monkeypatch):
    """Lets the program write to a colour terminal."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=200)
    monkeypatch.setattr(console, "OUT", screen)
    monkeypatch.setattr(verb, "_at_terminal", lambda: True)
    return screen.file


def shown(terminal) -> str:
    return re.sub("\x1b\\[[0-9;]*m", "", terminal.getvalue())


def test_a_terminal_shows_something_to_read(call, nli, ner, qa, terminal, tmp_path):
    code, out, err = call(nli, "[/red] sees \x1b[31mTom.\tTom is here.")
    assert (code, out) == (0, ""), err
    assert r"[/red] sees \x1b[31mTom. | Tom is here." in shown(terminal)
    assert shown(terminal).count("%") == 3 and "█" in shown(terminal) and "entailment" in shown(terminal)
    assert call(ner, "Anna [saw] Berlin")[:2] == (0, "")
    assert call(qa, "Who?\tAnna went to Paris.")[:2] == (0, "")
    assert "Who?\n" in shown(terminal)
    (tmp_path / "texts.txt").write_text("a red cat\nthe river\n")
    assert call(nli, "the river", "--candidates", "texts.txt")[:2] == (0, "")


def test_a_terminal_shows_json_where_it_is_asked_for(call, nli, terminal):
    code, out, _ = call(nli, PAIR, "--json")
    assert code == 0 and json.loads(out)["label"] and not terminal.getvalue()


def test_entities_answers_and_choices_are_marked_in_their_text():
    from adapterstilts.cli.prediction_view import lines

    (item,) = read_inputs("tagging", ["Anna in [Bonn]"], "f")
    spans = [{"label": "PER", "start": 0, "end": 4}, {"label": "LOC", "start": 9, "end": 13}]
    assert [str(line) for line in lines(item, {"spans": spans})] == ["[Anna](PER) in [[Bonn](LOC)]"]
    assert [str(line) for line in lines(item, {"spans": []})] == ["Anna in [Bonn]", "  no entities"]
    (item,) = read_inputs("span", ["Who?\t" + "x" * 200 + " Anna did."], "f")
    answer = {"start": 201, "end": 205, "n_best": [{"start": 201, "end": 205, "probability": 0.5}]}
    _, context, chance = lines(item, answer)
    assert str(context) == f"  …{'x' * 119} [Anna] did." and "50.0%" in str(chance)
    assert "no answer" in str(lines(item, {"start": -1, "end": -1, "n_best": []})[1])
    (item,) = read_inputs("choice", ['{"prompt": "p", "choices": ["a", "b"]}'], "f")
    assert "2. b" in str(lines(item, {"choice": 1, "probabilities": [0.25, 0.75]})[2])


def test_unknown_settings_of_the_function_are_errors_too(options, nli):
    with pytest.raises(ConfigError, match="unknown language code"):
        list(predict_inputs(nli, read_inputs("sequence", [PAIR], "f"), options, language="zz"))


def test_bars_are_aligned_and_the_likeliest_labels_come_first():
    from rich.cells import cell_len

    from adapterstilts.cli.prediction_view import lines

    (item,) = read_inputs("sequence", ["a"], "f")
    chances = {"x\x1b": 0.1, "東京": 0.3, **{f"label {n}": 0.6 / 20 for n in range(20)}}
    _, *bars, others = map(str, lines(item, {"label": "東京", "probabilities": chances}))
    assert bars[0].startswith("  東京 ") and len(bars) == 10 and "12 less probable" in others
    assert len({cell_len(bar) for bar in bars}) == 1


def test_a_run_of_plain_text_predicts_no_labels(call, options, tmp_path):
    (tmp_path / "text-en.txt").write_text("a small dog\nthe red cat\n" * 20)
    text = options.model_copy(update={"train_file": str(tmp_path / "text-en.txt"), "mlm_languages": ("en",)})
    run = train_adapter("mlm", text).id
    code, _, err = call(run, "a dog")
    assert code == 2 and "trained on plain text and predicts no labels" in err
