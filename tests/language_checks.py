"""Checks the names, language and structure of a package; every finding is `file:line: text`."""

from __future__ import annotations

import ast
import io
import re
import statistics
import tokenize
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

# Names that describe where a value came from, or point at it, instead of what it holds.
BANNED_NAMES = frozenset(
    "found told given known made wanted asked said named held kept taught joined shown chosen listed seen "
    "merged lost done gone own each one other others whole here there what how where who whose why most "
    "least few besides".split()
)
DIALECT = BANNED_NAMES | frozenset("left more first last about above below before after".split())
OPENERS = frozenset(
    "of what from by for as how where in with that those whose over beside under to at".split()
)
SECTIONS = frozenset({"Raises", "Returns", "Args", "Attributes", "Example", "Examples", "Yields", "Note"})
ENTRY = re.compile(r"^[ \t]+(\w[\w, ]*?)(?: \([^)]*\))?: (\S+)", re.MULTILINE)
PHRASES: dict[str, str] = {
    r"\bat hand\b": "found, available",
    r"\b(made|make|makes|making)( \w+)? again\b": "retrained, recomputed, created again",
    r"\bstands?\b(?! for\b)": "is listed, is at, is in",
    r"\bleft out\b|\b(leave|leaves|leaving)\b[^.\n]{0,40}\bout\b(?! of)": "skipped, omitted",
    r"\bwant(s|ed)\b": "requires, needs, expected",
    r"\bsa(y|ys|id) (which|of)\b": "specifies",
    r"\btold\b(?! apart)|\btells?\b(?![^.\n]{0,30} apart)": "passed, shows, specifies",
    r"\b(say|give|name)( \w+){0,3} --\w": "pass --x",
    r"\bname (it|them|one|that one) with\b": "pass --x",
    r"\b(one|user|somebody|anybody|person)'s own\b": "custom, your own",
    r"\b(go|goes|come|comes) along\b": "is included",
    r"\b(lie|lies|lay|lying) (over|under|below|above|beside)\b": "is stacked on, is below",
    r"\b(hands?|handed|handing) (out|on|over)\b": "returns, passes",
    r"\bhands?\b(?<!by hand)(?!-)": "(no hands)",
    r"\bbe had\b": "is available",
    r"\bin all[.,;:)]": "in total",
    r"\bat the most\b": "at most",
    r"\bawait(s|ed)\b": "expected",
    r"\basked for\b": "requested",
    r"\b(come|comes|came) without\b": "has no",
    r"\bfrom which on\b": "(rewrite)",
    r"\A[\s(#]*(?-i:Of|of) (several|a|an|one|the|which|each|all)\b": "begin with the noun",
    r"\b(?-i:Of) (several|which|whom)\b": "Multi-task: ..., or begin with the noun",
    r"\b(take|takes|taken|took) up( \w+)? again\b": "resume",
    r"\b(go|goes|went|going) on\b": "continue",
    r"\bis the one of\b": "belongs to",
    r"\bcrews?\b": "executor, workers",
    r"\brecipes?\b": "hyperparameters, grid config",
    r"\bleftovers of kills\b": "files of interrupted jobs",
    r"\bthings? to know\b": "warnings",
    r"\bhas to know\b": "needs",
    r"\b(which|what|that) is gone\b": "was removed",
}
PATTERNS = {re.compile(pattern, re.IGNORECASE): advice for pattern, advice in PHRASES.items()}


class Problem(NamedTuple):
    """One finding."""

    path: Path
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Source:
    """One Python file."""

    path: Path

    @cached_property
    def text(self) -> str:
        return self.path.read_text("utf-8")

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.text)

    @cached_property
    def functions(self) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
        return [
            node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        ]

    @cached_property
    def bindings(self) -> list[tuple[str, int]]:
        """Names of variables, arguments and class attributes, with their lines."""
        names = []
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                names.append((node.id, node.lineno))
            elif isinstance(node, ast.arg):
                names.append((node.arg, node.lineno))
        return [(name, line) for name, line in names if name not in ("self", "cls", "_")]

    @cached_property
    def docstrings(self) -> list[tuple[str, int]]:
        """The docstrings, with the line that each begins on."""
        documented = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        return [
            (text, node.body[0].lineno)
            for node in ast.walk(self.tree)
            if isinstance(node, documented) and (text := ast.get_docstring(node, clean=False))
        ]

    @cached_property
    def entries(self) -> list[tuple[str, str, int]]:
        """Name, first word and line of each documented argument, attribute and error."""
        return [
            (match[1], match[2].lower().strip(",;:"), line + text.count("\n", 0, match.start(1)))
            for text, line in self.docstrings
            for match in ENTRY.finditer(text)
            if match[1] not in SECTIONS
        ]

    @cached_property
    def comments(self) -> list[tuple[str, int]]:
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        return [(token.string, token.start[0]) for token in tokens if token.type == tokenize.COMMENT]

    @property
    def lines(self) -> int:
        return self.text.count("\n")

    @property
    def code_lines(self) -> int:
        """Lines that are neither empty nor part of a docstring."""
        documentation = sum(text.count("\n") + 1 for text, _ in self.docstrings)
        return self.lines - documentation - sum(not line.strip() for line in self.text.split("\n"))

    @property
    def public_names(self) -> int:
        definitions = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
        return sum(isinstance(node, definitions) and not node.name.startswith("_") for node in self.tree.body)

    def strings(self) -> Iterator[tuple[str, int]]:
        """String literals; values inside f-strings are replaced by `{}`."""
        inside = {
            id(part)
            for node in ast.walk(self.tree)
            if isinstance(node, ast.JoinedStr)
            for part in node.values
        }
        for node in ast.walk(self.tree):
            if isinstance(node, ast.JoinedStr):
                parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
                yield "".join(parts), node.lineno
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                yield node.value, node.lineno


def sources(folder: Path) -> list[Source]:
    """All Python files below a folder."""
    return [Source(path) for path in sorted([folder] if folder.is_file() else folder.rglob("*.py"))]


def banned_names(files: Sequence[Source], words: frozenset[str] = BANNED_NAMES) -> list[Problem]:
    """Variables, arguments and attributes with a name that does not describe what they hold."""
    return [
        Problem(file.path, line, f"name '{name}'")
        for file in files
        for name, line in file.bindings
        if name.lstrip("_") in words
    ]


def inverted_entries(files: Sequence[Source]) -> list[Problem]:
    """Docstring entries that do not begin with a noun."""
    return [
        Problem(file.path, line, f"docstring entry '{name}: {word} ...' has to begin with a noun")
        for file in files
        for name, word, line in file.entries
        if word in OPENERS
    ]


def banned_phrases(files: Sequence[Source]) -> list[Problem]:
    """Phrases in strings, docstrings and comments that no technical writer would use."""
    return [
        problem
        for file in files
        for text, line in (*file.strings(), *file.comments)
        for problem in phrases_in(text, file.path, line)
    ]


def phrases_in(text: str, path: Path, line: int = 1) -> Iterator[Problem]:
    """The banned phrases in one text that begins on a line of a file."""
    for pattern, advice in PATTERNS.items():
        for match in pattern.finditer(text):
            place = line + text.count("\n", 0, match.start())
            yield Problem(path, place, f"'{' '.join(match[0].split())}': {advice}")


def long_files(files: Sequence[Source], most: int = 400) -> list[Problem]:
    """Files with too many lines."""
    return [Problem(file.path, most, f"{file.lines} lines") for file in files if file.lines > most]


def comments_per_100_lines(files: Sequence[Source]) -> float:
    """Comments per 100 lines of code."""
    return 100 * sum(len(file.comments) for file in files) / max(1, sum(file.code_lines for file in files))


def public_per_1000_lines(files: Sequence[Source]) -> float:
    """Public top-level classes and functions per 1,000 lines."""
    return 1000 * sum(file.public_names for file in files) / max(1, sum(file.lines for file in files))


def function_lengths(files: Sequence[Source]) -> tuple[float, int]:
    """Median and 90th percentile of the lines of functions."""
    lengths = sorted(
        (node.end_lineno or node.lineno) - node.lineno + 1 for file in files for node in file.functions
    )
    return statistics.median(lengths or [0]), lengths[int(len(lengths) * 0.9)] if lengths else 0


def import_cycles(root: Path) -> list[list[str]]:
    """Groups of modules that import one another, imports inside functions included."""
    modules = {_module(path, root): path for path in root.rglob("*.py")}
    graph = {
        name: sorted(_imports(ast.parse(path.read_text("utf-8")), modules) - {name})
        for name, path in modules.items()
    }
    return [sorted(group) for group in _components(graph) if len(group) > 1]


def _module(path: Path, root: Path) -> str:
    parts = path.relative_to(root.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _imports(tree: ast.AST, modules: dict[str, Path]) -> set[str]:
    """Modules of the package that a file imports; those for type checkers alone are not counted."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            names |= {name for child in node.orelse for name in _imports(child, modules)}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names if alias.name in modules}
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & modules.keys()
            whole = {node.module} & modules.keys() if len(inner) < len(node.names) else set()
            names |= inner | whole
        else:
            names |= _imports(node, modules)
    return names


def _components(graph: dict[str, list[str]]) -> list[list[str]]:
    """Strongly connected components (Tarjan 1972)."""
    numbers: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []
    groups: list[list[str]] = []

    def visit(name: str) -> None:
        numbers[name] = lowest[name] = len(numbers)
        stack.append(name)
        for target in graph[name]:
            if target not in numbers:
                visit(target)
                lowest[name] = min(lowest[name], lowest[target])
            elif target in stack:
                lowest[name] = min(lowest[name], numbers[target])
        if lowest[name] == numbers[name]:
            group = []
            while not group or group[-1] != name:
                group.append(stack.pop())
            groups.append(group)

    for name in graph:
        if name not in numbers:
            visit(name)
    return groups
