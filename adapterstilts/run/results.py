"""Results of evaluations that show themselves: as text, as HTML in a notebook, as a pandas table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from adapterstilts.errors import ConfigError, StiltsError
from adapterstilts.run.leak_guard import Leak
from adapterstilts.store import Run

if TYPE_CHECKING:
    import pandas as pd

COLUMNS = ("language", "score", "95 % interval", "examples")


@dataclass(frozen=True, repr=False)
class Evaluation:
    """One run on one target: a stored result per language.

    Attributes:
        task: Name of the target.
        metric: Name of its headline metric.
        split: The scored split, or "file" for an explicit file.
        runs: Stored result by language. Its `metrics["score"]` is the headline metric in percent; it is
            missing if the labels are hidden, and then `metrics["labels"]` is "hidden".
        leaks: Items of each language that were trained on.
        failures: Errors of the languages that could not be evaluated.
    """

    task: str
    metric: str
    split: str
    runs: Mapping[str, Run]
    leaks: Mapping[str, Leak] = field(default_factory=dict)
    failures: Mapping[str, StiltsError] = field(default_factory=dict)

    @property
    def scores(self) -> dict[str, float]:
        """Headline metric in percent by language, for languages with labels."""
        scored = {code: run.metrics["score"] for code, run in self.runs.items() if "score" in run.metrics}
        return {language: float(score) for language, score in scored.items()}

    @property
    def written(self) -> tuple[str, ...]:
        """Languages that were tagged on sentences as written, not word by word."""
        return tuple(code for code, run in self.runs.items() if run.job.encoding.get("words") == "written")

    @property
    def mean_of_others(self) -> float | None:
        """Mean score of all languages except English; None if there is none."""
        scores = [score for language, score in self.scores.items() if language != "en"]
        return sum(scores) / len(scores) if scores else None

    @property
    def transfer_gap(self) -> float | None:
        """English score minus the mean of the others, in points (Hu et al. 2020); None without both."""
        if "en" not in self.scores or self.mean_of_others is None:
            return None
        return self.scores["en"] - self.mean_of_others

    def to_pandas(self) -> pd.DataFrame:
        """Returns a table with one row per language: task, split, run, and all metrics.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ConfigError("to_pandas requires pandas: pip install pandas") from None
        return pd.DataFrame(
            {"task": self.task, "split": self.split, "language": code, "run": run.id, **run.metrics}
            for code, run in self.runs.items()
        )

    def _rows(self) -> Iterator[tuple[str, str, str, str]]:
        for code, run in self.runs.items():
            metrics = run.metrics
            score = f"{metrics['score']:.1f}" if "score" in metrics else "no labels"
            bounds = f"[{metrics['low']:.1f}, {metrics['high']:.1f}]" if "low" in metrics else ""
            yield code, score, bounds, str(metrics["examples"])
        for name, value in (("mean without en", self.mean_of_others), ("transfer gap", self.transfer_gap)):
            if value is not None:
                yield name, f"{value:.1f}", "", ""

    def _title(self) -> str:
        return f"{self.task} ({self.split}), score: {self.metric} in percent"

    def __repr__(self) -> str:
        """Shows a table of the scores, and the failures."""
        rows = [COLUMNS, *self._rows()]
        widths = [max(len(row[n]) for row in rows) for n in range(len(COLUMNS))]
        lines = [
            f"{row[0]:<{widths[0]}}  "
            + "  ".join(f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True))
            for row in rows
        ]
        failures = [f"{code}: {error}" for code, error in self.failures.items()]
        return "\n".join([self._title(), *(line.rstrip() for line in lines), *failures])

    def _repr_html_(self) -> str:
        """Shows the same table in a notebook."""
        head = "".join(f"<th>{escape(name)}</th>" for name in COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in self._rows()
        )
        failures = "".join(
            f"<p>{escape(code)}: {escape(str(error))}</p>" for code, error in self.failures.items()
        )
        return (
            f"<table><caption>{escape(self._title())}</caption><thead><tr>{head}</tr></thead>"
            f"<tbody>{body}</tbody></table>{failures}"
        )


class Evaluations(list[Evaluation]):
    """The evaluations of one run: a list with one entry per target."""

    def __repr__(self) -> str:
        """Shows the tables of all targets."""
        return "\n\n".join(map(repr, self))

    def _repr_html_(self) -> str:
        """Shows the tables of all targets in a notebook."""
        return "".join(evaluation._repr_html_() for evaluation in self)

    def to_pandas(self) -> pd.DataFrame:
        """Returns one table for all targets; see `Evaluation.to_pandas`.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ConfigError("to_pandas requires pandas: pip install pandas") from None
        return pd.concat([evaluation.to_pandas() for evaluation in self], ignore_index=True)
