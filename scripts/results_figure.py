"""Draws gains over the baseline, a panel per composition: languages by points, mean and range over seeds.

Usage: python scripts/results_figure.py STORE TARGET METRIC TRAINING_ROWS OUT.svg
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
from results_tables import Results

from adapterstilts.store import Store

mpl.use("svg")
mpl.rcParams["svg.hashsalt"] = "adapterstilts"  # the same picture has the same bytes
from matplotlib import pyplot as plt  # noqa: E402


def main() -> None:
    """Writes the figure."""
    store, target, metric, rows, out = sys.argv[1:]
    cells = Results(Store(Path(store))).cells({"task": target, "metric": metric, "rows": rows})
    columns = sorted({column for column, _ in cells if "(" in column})
    baseline = next(column for column, _ in cells if "(" not in column)
    languages = sorted({code for _, code in cells})
    figure, axes = plt.subplots(1, len(columns), figsize=(2.1 * len(columns), 3.2), sharey=True)
    for axis, column in zip(axes, columns, strict=True):
        gains = [
            [ours - base for ours, base in zip(cells[column, code], cells[baseline, code], strict=True)]
            for code in languages
        ]
        means = [sum(each) / len(each) for each in gains]
        axis.barh(languages, means, color=["#2a7f62" if mean >= 0 else "#b5483a" for mean in means])
        for row, each in enumerate(gains):
            axis.plot([min(each), max(each)], [row, row], color="black", linewidth=1)
        axis.axvline(0, color="black", linewidth=0.8)
        axis.set_title(column.replace("(", "\n("), fontsize=8)
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.supxlabel(
        f"{target}: {metric} over the baseline, points; bars are means, lines the range", fontsize=8
    )
    figure.tight_layout()
    figure.savefig(out, metadata={"Date": None})


if __name__ == "__main__":
    main()
