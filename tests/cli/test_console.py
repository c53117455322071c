"""What is not ours is shown as it is: no markup, no control characters, no formulas."""

import io
import json
import sys

import pytest
from rich.console import Console

from adapterstilts.cli import console, grid_output
from adapterstilts.run import progress
from adapterstilts.terminal_text import csv_cell, visible

NASTY = "[/red] [bold]x[/bold] \x1b[31mred\x1b]0;title\x07 \x9b2J \u202eabc :smile:"
SHOWN = r"[/red] [bold]x[/bold] \x1b[31mred\x1b]0;title\x07 \x9b2J \u202eabc :smile:"


@pytest.fixture
def terminal(monkeypatch):
    """Puts a colour terminal in place of standard output and standard error."""
    screen = Console(file=io.StringIO(), force_terminal=True, width=200, color_system="truecolor")
    for name in ("OUT", "ERR"):
        monkeypatch.setattr(console, name, screen)
    return screen.file


def without_style(text: str) -> str:
    """What a terminal shows; only the codes of colours may be in it."""
    import re

    return re.sub("\x1b\\[[0-9;]*m", "", text)


@pytest.mark.parametrize(
    "write",
    [
        console.fail,
        console.note,
        console.echo,
        lambda text: console.echo(console.plain(text, "bold"), text),
        lambda text: console.table((text, "n"), [(text, "1")]),
        lambda text: console.table((text,), [(text,)], right=(text,), title=text, footer=[(text,)]),
    ],
)
def test_text_of_strangers_is_shown_as_it_is(terminal, write):
    write(NASTY)
    shown = without_style(terminal.getvalue())
    assert SHOWN in shown
    assert not [letter for letter in shown if visible(letter) != letter]


def test_messages_of_a_computation_too():
    screen = Console(file=io.StringIO(), force_terminal=True, width=200)
    with progress.speaking_to(screen):
        progress.say(NASTY)
        with progress.bar(NASTY, 3) as bar:
            bar.update(1, NASTY)
    assert SHOWN in without_style(screen.file.getvalue())


def test_a_status_line_is_no_markup(terminal):
    with console.busy(NASTY):
        pass


def test_json_is_valid_whatever_the_stream_can_hold(monkeypatch):
    value = {"text": "é😀\u202e\x9b", "half": "\udcff", "score": float("nan"), "list": [float("inf"), 1.5]}
    for encoding in ("ascii", "latin-1", "utf-8"):
        stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
        monkeypatch.setattr(sys, "stdout", stream)
        console.print_json(value)
        stream.flush()
        line = stream.buffer.getvalue().decode(encoding)
        assert line.count("\n") == 1
        assert json.loads(line) == {**value, "score": None, "list": [None, 1.5]}
        assert not [letter for letter in line if visible(letter) != letter]


def test_json_keeps_letters_where_it_can(monkeypatch):
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    monkeypatch.setattr(sys, "stdout", stream)
    console.print_json({"text": "é😀"})
    stream.flush()
    assert stream.buffer.getvalue().decode() == '{"text": "é😀"}\n'


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝", "－", "  ="])
def test_no_text_of_a_csv_file_is_a_formula(start):
    assert str(csv_cell(f"{start}1+2")).startswith("'")


def test_numbers_and_plain_text_of_a_csv_file_stay(capsys):
    grid_output._print_csv(("name", "=n"), [{"name": "=cmd()", "=n": -1.5}, {"name": "a, b=c", "=n": None}])
    assert capsys.readouterr().out == "name,'=n\n'=cmd(),-1.5\n\"a, b=c\",\n"


def test_line_feeds_and_tabs_are_kept():
    assert visible("a\tb\nc\rd") == "a\tb\nc\\rd"


def test_what_the_locale_cannot_show_is_spelled_out(monkeypatch):
    from adapterstilts.cli.app import main

    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="ascii") for _ in range(2))
    for name, stream in (("stdout", out), ("stderr", err)):
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.setattr(sys, "argv", ["adapterstilts", "predict", "\u0431\udcff", "x"])
    with pytest.raises(SystemExit) as ended:
        main()
    err.flush()
    assert ended.value.code == 2 and b"no run '\\u0431\\udcff'" in err.buffer.getvalue()
