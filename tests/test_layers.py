"""Who may import whom, read from the source with `ast`; and what no file may do."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "adapterstilts"
FILES = sorted(PACKAGE.rglob("*.py"))

PLAIN = {"pydantic", "pydantic_core"}
HUB = {"huggingface_hub", "datasets", "filelock"}
ARRAYS = {"numpy", "scipy", "pyarrow"}
MODELS = {"torch", "transformers", "tokenizers", "safetensors", "accelerate", "adapters"}
METRICS = {"seqeval", "sklearn", "faiss"}
LONGEST = 430  # lines: a file that outgrows about 400 becomes a folder
TERMINAL = {"rich", "typer"}
VALUES = {
    "version",
    "errors",
    "values",
    "bounded_json",
    "known_keys",
    "credentials",
    "paths",
    "terminal_text",
    "yaml_lines",
    "kinds/spec",
}
# The files of the grid have layers of their own: planning knows no results, and the worker alone knows models
PLANNING = {f"grid/{name}" for name in ("config", "job_spec", "job_settings", "plan", "ready_queue")}
WORK = {"grid/worker", "run", "store"}
KEEPING = {
    f"grid/{name}"
    for name in (
        "records_index",
        "records",
        "claims",
        "remote_records",
        "status",
        "estimate",
        "maintenance",
        "provenance",
    )
}


@dataclass(frozen=True)
class Layer:
    """What the files of one layer may import: parts of this package, and libraries."""

    own: set[str]
    libraries: set[str]


def layers() -> dict[str, Layer]:
    """Each layer adds to the ones above it; `cli` may import anything."""
    plain = VALUES | {"tasks", "hyperparameters", "composition", "job"}
    model = plain | {"data", "kinds", "model"}
    everything = PLAIN | ARRAYS | HUB | MODELS | METRICS
    return {
        **dict.fromkeys((*VALUES, "tasks", "hyperparameters", "composition", "job"), Layer(plain, PLAIN)),
        "yaml_lines": Layer({"errors"}, {"yaml"}),
        "data": Layer(plain | {"data"}, PLAIN | ARRAYS | HUB),
        "store": Layer(plain | {"store"}, PLAIN | ARRAYS | {"fsspec"}),
        "kinds": Layer(plain | {"data", "kinds"}, PLAIN | ARRAYS | MODELS | METRICS),
        "model": Layer(model, PLAIN | ARRAYS | HUB | MODELS),
        "run": Layer(model | {"hub", "run", "store"}, everything | TERMINAL),
        "hub": Layer(
            model | {"version", "hub", "run", "store"},
            PLAIN | ARRAYS | HUB | MODELS | {"jinja2", "requests", "urllib3"},
        ),
        **dict.fromkeys(("grid", *PLANNING), Layer(plain | PLANNING, PLAIN)),
        "grid/availability": Layer(plain | PLANNING | {"data", "model"}, PLAIN),
        "grid/load_plan": Layer(plain | PLANNING | {"kinds", "model", "grid/availability"}, PLAIN),
        **dict.fromkeys(KEEPING, Layer(plain | PLANNING | KEEPING | {"store"}, PLAIN)),
        "report": Layer(model | PLANNING | KEEPING | {"report", "run", "store"}, PLAIN | ARRAYS),
        "grid/process_executor": Layer(PLANNING | KEEPING | {"grid/worker"}, {"torch"}),
        "grid/scheduler": Layer(PLANNING | KEEPING | {"grid/worker", "grid/process_executor"}, {"torch"}),
        "grid/ray_executor": Layer(
            VALUES | PLANNING | KEEPING | {"version", "grid/process_executor", "grid/worker"},
            {"ray", "torch"},
        ),
        "grid/worker": Layer(model | PLANNING | KEEPING | WORK, everything | TERMINAL),
        "grid/calibrate": Layer(
            model | PLANNING | KEEPING | WORK | {"grid/availability", "grid/process_executor"},
            everything | TERMINAL,
        ),
    }


@dataclass(frozen=True)
class Import:
    """One imported module, dotted, with the line it stands on."""

    module: str
    line: int

    @property
    def part(self) -> str | None:
        """The part of this package, or None for a library's module."""
        top, _, rest = self.module.partition(".")
        return named(rest.split(".")) if top == "adapterstilts" else None


def imports(path: Path) -> Iterator[Import]:
    """Every import of a file, those inside functions and for type checking too."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (Import(alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}, line {node.lineno}: imports are absolute here"
            module = str(node.module)
            whole = PACKAGE.parent / Path(*module.split("."))
            for alias in node.names:  # `from package import module` imports the module
                is_module = (whole / f"{alias.name}.py").is_file() or (whole / alias.name).is_dir()
                yield Import(f"{module}.{alias.name}" if is_module else module, node.lineno)


def part_of(path: Path) -> str:
    parts = [part.removesuffix(".py") for part in path.relative_to(PACKAGE).parts]
    return named([part for part in parts if part != "__init__"] or parts)


def named(parts: list[str]) -> str:
    """The part of the package that a module belongs to; each file of the grid is one, as is kinds/spec."""
    return "/".join(parts[:2]) if parts[:1] == ["grid"] or parts == ["kinds", "spec"] else "".join(parts[:1])


def broken(path: Path, layer: Layer) -> list[str]:
    """The imports that the file's layer does not allow."""
    allowed = set(sys.stdlib_module_names) | layer.libraries
    return [
        f"{path.name}, line {each.line}: {each.module}"
        for each in imports(path)
        if (each.module.partition(".")[0] not in allowed if each.part is None else each.part not in layer.own)
    ]


LAYERED = [path for path in FILES if part_of(path) in layers()]


@pytest.mark.parametrize("path", LAYERED, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_what_its_layer_may(path: Path) -> None:
    assert broken(path, layers()[part_of(path)]) == []


def test_every_part_of_the_package_has_its_rule() -> None:
    free = {"__init__", "__main__", "cli", "adapter_configs"}
    assert {part_of(path) for path in FILES} - free == layers().keys()


@pytest.mark.parametrize(("library", "door"), [("adapters", "model/host.py"), ("yaml", "yaml_lines.py")])
def test_one_file_alone_imports(library: str, door: str) -> None:
    importers = [
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        if any(each.module.partition(".")[0] == library for each in imports(path))
    ]
    assert importers == [door]


KINDS = ("sequence", "tagging", "span", "choice", "retrieval", "mining", "mlm")
CONCRETE_TASKS = {
    f"adapterstilts.tasks.{name}"
    for name in ("intermediate", "targets", "xtreme_r", "mini", "registry", "lookup")
}


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_knows_neither_other_kinds_nor_concrete_tasks(kind: str) -> None:
    others = {f"adapterstilts.kinds.{name}" for name in (*KINDS, "registry") if name != kind}
    found = {each.module for each in imports(PACKAGE / "kinds" / f"{kind}.py")}
    assert found & (others | CONCRETE_TASKS | {"adapterstilts.kinds"}) == set()


def test_the_command_line_imports_large_libraries_inside_bodies_only() -> None:
    light = set(sys.stdlib_module_names) | TERMINAL
    own = VALUES | {"cli", "hyperparameters", "composition", "version", ""}
    loaded_by_verbs = {"grid_progress.py"}  # imported inside the bodies of the grid's verbs
    for path in (PACKAGE / "cli").glob("*.py"):
        for each in () if path.name in loaded_by_verbs else top_imports(path):
            fine = each.module.partition(".")[0] in light if each.part is None else each.part in own
            assert fine, f"{path.name}, line {each.line}: {each.module}"


def top_imports(path: Path) -> Iterator[Import]:
    """The imports that run when the module is loaded."""
    top = ast.Module([node for node in ast.parse(path.read_text("utf-8")).body if is_import(node)], [])
    lines = {node.lineno for node in top.body}
    return (each for each in imports(path) if each.line in lines)


def is_import(node: ast.stmt) -> bool:
    return isinstance(node, ast.Import | ast.ImportFrom)


def unsafe(tree: ast.AST) -> list[str]:
    """Calls and imports that run code from files: pickles, remote code, eval."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = {alias.name for alias in node.names} | {str(getattr(node, "module", ""))}
            found += [
                name
                for name in names
                if name.partition(".")[0] in {"pickle", "cloudpickle", "dill", "joblib"}
            ]
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            pickled = any(k.arg == "allow_pickle" and not is_false(k.value) for k in node.keywords)
            remote = any(k.arg == "trust_remote_code" and not is_false(k.value) for k in node.keywords)
            if name in {"torch.load", "eval", "exec", "yaml.load", "yaml.unsafe_load"} or pickled or remote:
                found.append(ast.unparse(node))
    return found


def test_transformers_opens_a_strangers_files_in_one_place() -> None:
    """The tokenizer's checked copy; a model is built from checked settings, and `Trainer` is not used."""
    callers = {
        path.relative_to(PACKAGE).as_posix()
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if (isinstance(node, ast.Attribute) and node.attr == "from_pretrained")
        or (isinstance(node, ast.alias) and node.name in {"Trainer", "AdapterTrainer"})
    }
    assert callers == {"model/encoder.py"}


def is_false(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is False


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_file_runs_code_from_data(path: Path) -> None:
    assert unsafe(ast.parse(path.read_text("utf-8"))) == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_is_short_and_says_what_it_is_for(path: Path) -> None:
    text = path.read_text("utf-8")
    assert len(text.splitlines()) <= LONGEST
    assert (ast.get_docstring(ast.parse(text)) or "").strip(), (
        "a module opens with one line on what it is for"
    )


@pytest.mark.parametrize(
    ("code", "count"),
    [
        ("import pickle", 1),
        ("from torch import nn", 0),
        ("torch.load(path)", 1),
        ("AutoModel.from_pretrained(x, trust_remote_code=True)", 1),
        ("AutoModel.from_pretrained(x, trust_remote_code=False)", 0),
        ("np.load(path, allow_pickle=True)", 1),
        ("yaml.safe_load(text)", 0),
        ("eval(text)", 1),
        ("model.eval()", 0),
    ],
)
def test_the_check_for_unsafe_code_sees_it(code: str, count: int) -> None:
    assert len(unsafe(ast.parse(code))) == count


def test_the_check_of_layers_sees_a_broken_rule(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text(
        "import json\nimport torch\nfrom adapterstilts.run import train\ndef f():\n    import pandas.core\n"
        "from adapterstilts.tasks.spec import Task\nfrom adapterstilts import composition\n",
        encoding="utf-8",
    )
    assert sorted(broken(path, layers()["tasks"])) == [
        "bad.py, line 2: torch", "bad.py, line 3: adapterstilts.run.train", "bad.py, line 5: pandas.core",
    ]  # fmt: skip
