"""Draws what each composition puts on a layer of the frozen encoder: docs/figures/compositions.svg.

python scripts/compositions_figure.py docs/figures/compositions.svg
"""

from __future__ import annotations

import sys

import matplotlib as mpl

mpl.use("svg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

# Colours that colour-blind readers can tell apart (Wong 2011, Nature Methods 8:441); a pattern marks what is frozen too.
FROZEN, TRAINED, ENCODER = "#c6dbef", "#fdae6b", "#d9d9d9"
WIDTH, HEIGHT, GAP = 1.0, 0.34, 0.14
PANELS = {
    "single (baseline)": [[("target", TRAINED)]],
    "sequential": [[("target", TRAINED)]],
    "stack": [[("NLI", FROZEN)], [("target", TRAINED)]],
    "fuse": [[("NLI", FROZEN), ("QA", FROZEN)], [("AdapterFusion", TRAINED)]],
    "average": [[("target", TRAINED)]],
}
STARTS = {"sequential": "starts as NLI", "average": "starts as the mean\nof NLI and QA"}


def box(axes: Axes, x: float, y: float, width: float, text: str, colour: str) -> None:
    """Draws one labelled box."""
    hatch = "///" if colour == FROZEN else None
    patch = FancyBboxPatch(
        (x, y), width, HEIGHT, "round,pad=0,rounding_size=0.06",
        facecolor=colour, edgecolor="#525252", hatch=hatch, linewidth=0.8,
    )  # fmt: skip
    axes.add_patch(patch)
    background = {"facecolor": colour, "edgecolor": "none", "pad": 1.2} if hatch else None
    axes.text(x + width / 2, y + HEIGHT / 2, text, ha="center", va="center", fontsize=7.5, bbox=background)


def panel(axes: Axes, title: str, rows: list[list[tuple[str, str]]]) -> None:
    """Draws the encoder's layer, the adapters above it, and the head."""
    box(axes, 0, 0, WIDTH, "encoder layer", ENCODER)
    y = 0.0
    for row in [*rows, [("head", TRAINED)]]:
        arrow = FancyArrowPatch(
            (WIDTH / 2, y + HEIGHT),
            (WIDTH / 2, y + HEIGHT + GAP),
            arrowstyle="-|>",
            mutation_scale=6,
            color="#525252",
        )
        axes.add_patch(arrow)
        y += HEIGHT + GAP
        width = (WIDTH - 0.08 * (len(row) - 1)) / len(row)
        for n, (text, colour) in enumerate(row):
            box(axes, n * (width + 0.08), y, width, text, colour)
    if title in STARTS:
        axes.text(WIDTH / 2, -0.12, STARTS[title], ha="center", va="top", fontsize=7, style="italic")
    axes.set_title(title, fontsize=9, fontweight="bold")
    axes.set_xlim(-0.08, WIDTH + 0.08)
    axes.set_ylim(-0.5, 2.0)
    axes.axis("off")


def main() -> None:
    """Writes the figure to the path that the command names."""
    mpl.rcParams["svg.hashsalt"] = "adapterstilts"  # the same bytes each time
    mpl.rcParams["hatch.color"] = "#9ecae1"
    figure, all_axes = plt.subplots(1, len(PANELS), figsize=(8.4, 2.4))
    for axes, (title, rows) in zip(all_axes, PANELS.items(), strict=True):
        panel(axes, title, rows)
    legend = [
        FancyBboxPatch((0, 0), 1, 1, facecolor=ENCODER, edgecolor="#525252", label="encoder, frozen"),
        FancyBboxPatch(
            (0, 0), 1, 1, facecolor=FROZEN, hatch="///", edgecolor="#525252", label="adapter, frozen"
        ),
        FancyBboxPatch(
            (0, 0), 1, 1, facecolor=TRAINED, edgecolor="#525252", label="trained on English target data"
        ),
    ]
    figure.legend(handles=legend, loc="lower center", ncol=3, fontsize=8, frameon=False)
    figure.subplots_adjust(left=0.01, right=0.99, top=0.9, bottom=0.1, wspace=0.1)
    figure.savefig(sys.argv[1], metadata={"Date": None})
    if len(sys.argv) > 2:
        figure.savefig(sys.argv[2], dpi=130)


if __name__ == "__main__":
    main()
