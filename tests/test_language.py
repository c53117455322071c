"""The house rules: names, language and structure that a newcomer of the field reads without a dictionary.

A failing test prints each place as `file:line: text`. Names describe what a value holds, sentences are plain
English, and the limits of size keep the structure readable.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.language_checks import (
    DIALECT,
    Problem,
    Source,
    banned_names,
    banned_phrases,
    comments_per_100_lines,
    function_lengths,
    import_cycles,
    inverted_entries,
    long_files,
    phrases_in,
    public_per_1000_lines,
    sources,
)

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "adapterstilts"
FILES = sources(PACKAGE)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])


def listed(problems: Sequence[Problem]) -> str:
    """The problems as lines, with paths relative to the repository."""
    lines = {str(problem).replace(f"{ROOT}/", "") for problem in problems}
    return "\n".join(["", *sorted(lines)])


def test_names_describe_what_they_hold() -> None:
    problems = banned_names(FILES)
    assert not problems, listed(problems)
    problems = banned_names(FILES, DIALECT)
    bindings = sum(len(file.bindings) for file in FILES)
    assert len(problems) <= 0.01 * bindings, listed(problems)


def test_docstring_entries_begin_with_a_noun() -> None:
    problems = inverted_entries(FILES)
    entries = sum(len(file.entries) for file in FILES)
    assert len(problems) <= 0.02 * entries, listed(problems)


def test_strings_docstrings_and_comments_are_plain_english() -> None:
    problems = banned_phrases(FILES)
    assert not problems, listed(problems)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_documentation_is_plain_english(page: Path) -> None:
    problems = list(phrases_in(page.read_text("utf-8"), page))
    assert not problems, listed(problems)


def test_comments_and_public_names() -> None:
    assert comments_per_100_lines(FILES) >= 5
    assert public_per_1000_lines(FILES) < 18


def test_functions_and_files_are_short() -> None:
    median, percentile90 = function_lengths(FILES)
    assert median <= 12
    assert percentile90 <= 35
    problems = long_files(FILES)
    assert not problems, listed(problems)


def test_no_modules_import_each_other() -> None:
    assert import_cycles(PACKAGE) == []


def test_the_checks_find_what_they_should(tmp_path: Path) -> None:
    path = tmp_path / "example.py"
    path.write_text(
        '"""Reads what is at hand."""\n\n'
        "def read(path, found):\n"
        '    """Reads rows.\n\n    Args:\n        path: of the file.\n'
        '        found: Number of rows.\n    """\n'
        '    raise ValueError(f"{path} wants two rows, say --rows 2")  # the other stands below\n',
        encoding="utf-8",
    )
    files = [Source(path)]
    assert [(problem.line, problem.text) for problem in banned_names(files)] == [(3, "name 'found'")]
    assert [problem.line for problem in inverted_entries(files)] == [7]
    assert sorted((problem.line, problem.text.partition(":")[0]) for problem in banned_phrases(files)) == [
        (1, "'at hand'"),
        (1, "'hand'"),
        (10, "'say --r'"),
        (10, "'stands'"),
        (10, "'wants'"),
    ]


def test_import_cycles_are_found_in_functions_too(tmp_path: Path) -> None:
    package = tmp_path / "house"
    package.mkdir()
    for name, text in {
        "__init__": "",
        "a": "from house import b\n",
        "b": "def read():\n    from house.c import x\n",
        "c": "if TYPE_CHECKING:\n    from house.d import y\nimport house.a\nx = 1\n",
        "d": "from house.c import x\n",
    }.items():
        (package / f"{name}.py").write_text(text, encoding="utf-8")
    assert import_cycles(package) == [["house.a", "house.b", "house.c"]]
