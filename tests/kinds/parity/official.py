"""Scores the cases with the official scripts and writes their numbers to `golden.json`.

Needs checkouts of google-research/xtreme and, for SQuAD 2.0, rajpurkar/SQuAD-explorer. The tests read only
what it wrote.

    python tests/kinds/parity/official.py XTREME_FOLDER SQUAD_EXPLORER_FOLDER
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
CASES = json.loads((HERE / "cases.json").read_text("utf-8"))
SUFFIXES = {"xquad": "json", "mlqa": "json", "tydiqa": "json", "mewslix": "json", "xcopa": "jsonl"}


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


def benchmark(checkout: Path, version: str, folder: Path) -> Any:
    """What `evaluate.py` reports on every task of one version of the benchmark."""
    for task, languages in CASES[version].items():
        for language, files in languages.items():
            for side, content in files.items():
                write(folder / side / task / f"test-{language}.{SUFFIXES.get(task, 'tsv')}", content)
    command = [
        sys.executable, "evaluate.py", "--prediction_folder", folder / "predictions", "--label_folder",
        folder / "labels", "--xtreme_version", version, "--output_file", folder / "out.json",
    ]  # fmt: skip
    subprocess.run(command, check=True, cwd=checkout, stdout=subprocess.DEVNULL)
    return json.loads((folder / "out.json").read_text("utf-8"))


def squad_v2(checkout: Path, folder: Path) -> Any:
    files = [write(folder / f"{side}.json", CASES["squad_v2"][side]) for side in ("labels", "predictions")]
    command = [sys.executable, checkout / "evaluate-v2.0.py", *files]
    found = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(found.stdout)


def lareqa() -> float:
    """Mean average precision of the ranked lists, cut at 20."""
    official = importlib.import_module("utils_lareqa")
    found = [official.average_precision_at_k(case["targets"], case["ranked"], 20) for case in CASES["lareqa"]]
    return float(100 * sum(found) / len(found))


def mining(folder: Path) -> Any:
    """Candidates by margin, the best threshold, and the pairs above it."""
    import numpy as np

    official = importlib.import_module("utils_retrieve")
    case = CASES["mining"]
    for side in ("source", "target"):
        for kind in ("ids", "texts"):
            write(folder / f"{side}.{kind}", "".join(f"{line}\n" for line in case[side][kind]))
    gold = write(folder / "gold", "".join("\t".join(pair) + "\n" for pair in case["gold"]))
    vectors = [np.array(case[side]["vectors"], np.float32) for side in ("source", "target")]
    texts = [str(folder / f"{side}.texts") for side in ("source", "target")]
    ids = [str(folder / f"{side}.ids") for side in ("source", "target")]
    candidates, found = str(folder / "candidates"), folder / "found"
    official.mine_bitext(*vectors, *texts, candidates)
    scores = official.bucc_eval(candidates, str(gold), *texts, *ids, str(found))
    pairs = [line.split("\t") for line in found.read_text("utf-8").splitlines()]
    return {**{name: float(value) for name, value in scores.items()}, "pairs": pairs}


def main() -> None:
    checkout, squad = (Path(argument).resolve() for argument in sys.argv[1:3])
    sys.path.insert(0, str(checkout / "third_party"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        golden = {
            **{version: benchmark(checkout, version, folder / version) for version in ("xtreme", "xtreme-r")},
            "squad_v2": squad_v2(squad, folder),
            "lareqa": lareqa(),
            "mining": mining(folder),
        }
    text = json.dumps(golden, indent=1, sort_keys=True)
    (HERE / "golden.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
