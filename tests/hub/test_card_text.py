"""Titles, licences, labels and names in a card: shown as they are, and never as Markdown, HTML or YAML."""

from __future__ import annotations

import ast
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from markdown_it import MarkdownIt

from adapterstilts.hub.card import Form, card
from adapterstilts.hub.card_data import Facts, Score
from adapterstilts.hub.licence import Licence
from adapterstilts.hub.markdown import code, one_line, plain, quoted
from adapterstilts.hub.publish import _facts, write
from adapterstilts.kinds.base import HeadSpec
from adapterstilts.store import Store
from adapterstilts.store.origin import PulledFrom
from adapterstilts.store.scratch import PREFIX
from adapterstilts.tasks.citations import Credit
from tests.hub.conftest import Runs
from tests.hub.fake_hub.cards import check_card

HOSTILE = [
    "a | b", "a\\| b", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<!-- -->",
    "{{ run.id }}",
    "[click](http://evil.example)", "![x](http://evil.example/x.png)", "[x]: http://evil.example",
    "http://evil.example", "www.evil.example", "me@evil.example", "a `b` c", "```\n# evil", "\x00",
    "x\n---\nlicense: mit\n---\n# evil", "x\r\n\r\n# evil", "# evil", "- evil", "1. evil", "=", "---", "!",
    "",
    "**bold** _slanted_ ~~gone~~ $x$", "&lt;b&gt; &amp;", "\\", "a\\", "\x1b[31mred\x1b[0m",
    "\u202eevil\u2066",
    "</td></tr>", "| a |\n|---|\n| b |", "é 日本語 हिन्दी", "5 + 3 = 8", "37.5", "snake_case_name", "'\"",
    "a" * 10_000, "{% raw %}",
]  # fmt: skip
MARKDOWN = MarkdownIt("commonmark").enable("table").enable("strikethrough")
LINKS = ("://", "www.", "@")


def shown(text: str) -> str:
    """What a reader should see."""
    return one_line(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_a_text_is_shown_as_it_is(text: str) -> None:
    """In a heading, in a cell and in a paragraph."""
    escaped = plain(text)
    source = f"# x {escaped}\n\n| a | b |\n|---|---|\n| {escaped} | end |\n\nx {escaped}\n\n{escaped}\n"
    tokens = MARKDOWN.parse(source)
    kinds = [token.type for token in tokens if token.type.endswith("_open")]
    ours = [
        "heading_open",
        "table_open",
        "thead_open",
        "tr_open",
        "th_open",
        "th_open",
        "tbody_open",
        "tr_open",
    ]
    paragraphs = 2 if shown(text) else 1
    assert kinds == [*ours, "td_open", "td_open", *["paragraph_open"] * paragraphs]
    inline = [token for token in tokens if token.type == "inline"]
    for token in inline:
        assert {child.type for child in token.children or ()} <= {"text", "text_special"}
    texts = ["".join(child.content for child in token.children or ()) for token in inline]
    cells = [f"x {shown(text)}".rstrip(), "a", "b", shown(text), "end", f"x {shown(text)}".rstrip()]
    assert texts == ([*cells, shown(text)] if shown(text) else cells)
    assert not any(link in escaped for link in LINKS), "nothing that GitHub's Markdown makes a link of"


@pytest.mark.parametrize("text", [text for text in HOSTILE if one_line(text)])
def test_a_code_span_is_one_code_span(text: str) -> None:
    source = f"| a | b |\n|---|---|\n| {code(text, table=True)} | end |\n\n{code(text)} end\n"
    spans = [
        [(child.type, child.content) for child in token.children or ()]
        for token in MARKDOWN.parse(source)
        if token.type == "inline"
    ]
    content = shown(text).replace("`", "'")
    assert [kind for kind, _ in spans[2]] == ["code_inline"]
    assert [kind for kind, _ in spans[4]] == ["code_inline", "text"] and spans[4][0][1] == content


@pytest.mark.parametrize("text", HOSTILE)
def test_a_literal_in_code_is_the_text(text: str) -> None:
    assert ast.literal_eval(quoted(text)) == shown(text)
    assert "\n" not in quoted(text)


EVIL = "x | <b>y</b> [z](http://evil.example)\n---\nlicense: evil\n---\n# Evil heading"


@pytest.fixture(scope="module")
def facts(trained: Runs) -> Facts:
    store = Store(trained["single"].path.parent)
    return _facts(store, trained["single"])


def evil(facts: Facts) -> Facts:
    """The facts of a run with one text in every place where somebody else's text can stand."""
    task = facts.tasks[0].model_copy(update={"title": EVIL, "name": EVIL})
    score = Score(task, EVIL, "test", 50.0, (40.0, 60.0), {"accuracy": 50.0}, 9, EVIL, EVIL, 3)
    credit = Credit(task="x", title=EVIL, licence=EVIL, citation=EVIL, dataset=EVIL)
    pulled = PulledFrom(repo=EVIL, commit=EVIL)
    rows = {"rows": 3, "file": EVIL, "kind": "file", "commit": EVIL, "slice": [1, 3], "limit": 3, "seed": 1}
    backbone = replace(facts.backbone, name=EVIL, repo=EVIL, commit=EVIL, fingerprint=EVIL, tokenizer=EVIL)
    return replace(
        facts,
        tasks=(task,),
        backbone=backbone,
        heads={"mini_nli": HeadSpec("classification", (EVIL, "b", "c"))},
        origin=facts.origin.model_copy(update={"pulled": pulled, "data": {"mini_nli": {"train": rows}}}),
        credits=(credit,),
        licence=Licence.of([EVIL]),
        scores=[score],
        run=replace(
            facts.run,
            job=facts.job.model_copy(update={"task": EVIL, "task_version": EVIL, "languages": (EVIL,)}),
        ),
    )


@pytest.mark.parametrize("form", [Form(), Form("peft", HeadSpec("classification", (EVIL,)), EVIL)])
def test_no_text_of_somebody_else_comes_to_life_in_a_card(form: Form, facts: Facts) -> None:
    text = card(evil(facts), "me/evil", form, {"x": "y"})
    assert check_card(text)[0] == [], "the Hub takes it"
    _, front, body = text.split("---\n", 2)
    data = yaml.safe_load(front)
    assert data["license"] == "other" and "Evil heading" not in data
    tokens = MARKDOWN.parse(body)
    headings = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type == "heading_open"]
    assert headings[1:] == ["Results", "How to use it", "Training data", "Hyperparameters", "Limits"]
    inside = [child for token in tokens for child in token.children or ()]
    kinds = {child.type for child in inside}
    assert kinds <= {"text", "text_special", "code_inline", "softbreak", "strong_open", "strong_close"}
    assert not [token for token in tokens if token.type == "html_block"]
    rows = [token for token in tokens if token.type == "tr_open"]
    cells = [token for token in tokens if token.type in ("td_open", "th_open")]
    assert len(rows) == 9 + 1 + 2 + 2 and len(cells) == 2 * 10 + 4 * 2 + 3 * 2
    assert len([token for token in tokens if token.type == "fence"]) == 3


def test_the_packages_own_references_keep_their_links(facts: Facts) -> None:
    credit = Credit(task="mnli", title="MultiNLI", licence="MIT", citation="williams-etal-2018-broad")
    text = card(replace(facts, credits=(credit,)), "me/x", Form(), {})
    assert "| MultiNLI | MIT | Williams et al. 2018 (MultiNLI), https://aclanthology.org/N18-1101 |" in text


def test_settings_of_a_recipe_are_whole(facts: Facts) -> None:
    """A map of reduction factors is shown, and only layers are its keys."""
    settings: dict[str, Any] = {**facts.job.adapter, "reduction_factor": {"1": 8.0, "default": 16.0}}
    run = replace(facts.run, job=facts.job.model_copy(update={"adapter": settings}))
    assert "reduction factor {'1': 8.0, 'default': 16.0}" in card(replace(facts, run=run), "me/x", Form(), {})


def test_leftovers_of_a_killed_publish_are_removed(trained: Runs, tmp_path: Path) -> None:
    left = tmp_path / f"{PREFIX}killed"
    (left / "run").mkdir(parents=True)
    write(trained["single"].id, "me/one", tmp_path / "out", trained["single"].path.parent)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
