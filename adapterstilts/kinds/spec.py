"""Properties of each kind of task that planning and task entries need without loading torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

RowForm = Literal["pair", "tagged", "question", "choice", "retrieval", "text"]  # the types of data/rows.py
SubmissionFormat = Literal["labels", "tags", "answers", "choices", "positions", "pairs"]


@dataclass(frozen=True, kw_only=True)
class KindSpec:
    """Everything about a kind that is not computed; its methods are in `kinds/<name>.py`.

    Attributes:
        name: Name in task entries, grid overrides and messages.
        rows: Form of its rows, which decides how files, tables and prediction input are read.
        metrics: Metrics that a task defined in YAML can choose, the default first. Empty where such tasks
            cannot be defined.
        pipeline_tag: The Hub's name for the kind, for model cards.
        hyperparameters: Training defaults that differ from those of `Hyperparameters`.
        needs_head: Whether a trained head answers. Without one, embeddings are compared and nothing trains.
        labelled: Whether the task's entry lists the labels.
        min_labels: Smallest label set that makes sense, for kinds with labels.
        bio_labels: Whether labels may be BIO tags, which must begin with the B or I.
        evaluable: Whether its tasks are evaluation targets and predict for a user's text.
        threshold_from_dev: Whether the encoding's `threshold` is chosen on development data before a test
            split is scored.
        submission_format: Form of an XTREME submission file, None where XTREME has no such task.
        recurring_share: Share of evaluation items that recur in clean training data by chance.
    """

    name: str
    rows: RowForm
    metrics: tuple[str, ...]
    pipeline_tag: str
    hyperparameters: Mapping[str, Any] = field(default_factory=dict)
    needs_head: bool = True
    labelled: bool = False
    min_labels: int = 1
    bio_labels: bool = False
    evaluable: bool = True
    threshold_from_dev: bool = False
    submission_format: SubmissionFormat | None = None
    # Measured on English development items: PAN-X 3.3 % and UD 2.4 % (nearly all of one or two tokens) are in
    # the training file too; PAWS-X, XNLI, XCOPA, TyDiQA and XQuAD against MLQA: none; two parts of one file:
    # at most 1.5 % (Social IQa), mostly none.
    recurring_share: float = 0.01

    @property
    def plain_text(self) -> bool:
        """Whether it trains on unlabelled text in any language, alone or mixed into other tasks."""
        return self.rows == "text"


# Also holds the kinds that `registry.register` adds.
SPECS: dict[str, KindSpec] = {
    spec.name: spec
    for spec in (
        KindSpec(
            name="sequence",
            rows="pair",
            metrics=("accuracy",),
            pipeline_tag="text-classification",
            labelled=True,
            min_labels=2,
            submission_format="labels",
        ),
        KindSpec(
            name="tagging",
            rows="tagged",
            metrics=("f1", "accuracy"),
            pipeline_tag="token-classification",
            hyperparameters={"epochs": 2.0},
            labelled=True,
            bio_labels=True,
            submission_format="tags",
            recurring_share=0.05,
        ),
        KindSpec(
            name="span",
            rows="question",
            metrics=("em_f1", "f1"),
            pipeline_tag="question-answering",
            hyperparameters={"epochs": 2.0, "batch_size": 16},
            submission_format="answers",
        ),
        KindSpec(
            name="choice",
            rows="choice",
            metrics=("accuracy",),
            pipeline_tag="multiple-choice",
            # A row has a sequence for each of its choices, so a batch of 32 rows would be large.
            hyperparameters={"batch_size": 16},
            submission_format="choices",
        ),
        KindSpec(
            name="retrieval",
            rows="retrieval",
            metrics=("accuracy",),
            pipeline_tag="sentence-similarity",
            needs_head=False,
            submission_format="positions",
        ),
        KindSpec(
            name="mining",
            rows="retrieval",
            metrics=(),
            pipeline_tag="sentence-similarity",
            needs_head=False,
            threshold_from_dev=True,
            submission_format="pairs",
        ),
        KindSpec(name="mlm", rows="text", metrics=(), pipeline_tag="fill-mask", evaluable=False),
    )
}
