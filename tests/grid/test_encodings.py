"""Encoding settings of a grid config: unknown ones and those without effect are refused when it is read."""

from __future__ import annotations

from typing import Any

import pytest

from tests.cli.conftest import Call, call  # noqa: F401

from .conftest import Write

WRONG: list[tuple[dict[str, Any], str]] = [
    ({"encoding": {"max_lenght": 64}}, "unknown encoding key 'max_lenght'"),
    ({"encoding": {"max_length": 2}}, "max_length: should be greater than or equal to 8, not 2"),
    ({"encoding": {"max_length": True}}, "max_length: should be a number, not true"),
    ({"encoding": {"stride": 8}}, "stride has an effect on span and tagging tasks only"),
    ({"overrides": {"sequence": {"encoding": {"pooling": "cls"}}}}, "pooling has an effect on"),
    ({"overrides": {"mini_nli": {"encoding": {"n_best": 3}}}}, "n_best has an effect on span tasks only"),
]


@pytest.mark.parametrize(("settings", "expected"), WRONG, ids=[expected for _, expected in WRONG])
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_errors_have_a_line(
    call: Call,  # noqa: F811
    write: Write,
    verb: str,
    settings: dict[str, Any],
    expected: str,
) -> None:
    path = write(targets=["mini_paraphrase"], intermediate=["mini_nli"], **settings)
    lines = path.read_text(encoding="utf-8").splitlines()
    keys = ("max_le", "stride", "pooling", "n_best")
    (line,) = [n for n, text in enumerate(lines, 1) if text.strip().startswith(keys)]
    message = " ".join(call("grid", verb, str(path), code=2).stderr.split())
    assert f"line {line}: " in message
    assert expected in message


def test_a_setting_applies_to_the_kinds_that_have_it(call: Call, write: Write) -> None:  # noqa: F811
    path = write(targets=["mini_paraphrase", "mini_ner"], encoding={"stride": 8})
    call("grid", "plan", str(path))
