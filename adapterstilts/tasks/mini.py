"""Mini tasks that are bundled with the package: small, and parallel in ten languages."""

from __future__ import annotations

from adapterstilts.tasks.intermediate import NLI_LABELS
from adapterstilts.tasks.spec import FolderSource, Split, Task

LANGUAGES = ("ar", "de", "en", "es", "hi", "id", "ru", "sw", "tr", "zh")
LICENCE = "CC0-1.0"
CITATION = "adapterstilts-mini"
OBTAIN = "the package's own data, which comes with it: reinstall adapterstilts if it is not there."


def _files(folder: str, ending: str) -> FolderSource:
    """English training and development data, and a test set in every language."""
    names: dict[Split, str] = {"train": "train-en", "dev": "dev-en", "test": "test-{lang}"}
    return FolderSource(
        files={split: (f"data/mini/{folder}/{name}.{ending}",) for split, name in names.items()}
    )


MINI_NLI = Task(
    name="mini_nli",
    role="demo",
    kind="sequence",
    title="Mini NLI",
    form="pair",
    languages=LANGUAGES,
    trained_on="mini_nli",
    metric="accuracy",
    licence=LICENCE,
    citation=CITATION,
    obtain=OBTAIN,
    labels=NLI_LABELS,
    parallel="order",
    bundled=_files("nli", "tsv"),
)

MINI_PARAPHRASE = Task(
    name="mini_paraphrase",
    role="demo",
    kind="sequence",
    title="Mini paraphrases",
    form="pair",
    languages=LANGUAGES,
    trained_on="mini_paraphrase",
    metric="accuracy",
    licence=LICENCE,
    citation=CITATION,
    obtain=OBTAIN,
    labels=("different", "paraphrase"),
    parallel="order",
    symmetric=True,
    bundled=_files("paraphrase", "tsv"),
)

MINI_QA = Task(
    name="mini_qa",
    role="demo",
    kind="span",
    title="Mini question answering",
    form="squad",
    languages=LANGUAGES,
    trained_on="mini_qa",
    metric="em_f1",
    licence=LICENCE,
    citation=CITATION,
    obtain=OBTAIN,
    parallel="order",
    bundled=_files("qa", "json"),
)

MINI_NER = Task(
    name="mini_ner",
    role="demo",
    kind="tagging",
    title="Mini named entities",
    form="token-tag",
    languages=LANGUAGES,
    trained_on="mini_ner",
    metric="f1",
    licence=LICENCE,
    citation=CITATION,
    obtain=OBTAIN,
    labels=("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC"),
    parallel="order",
    bundled=_files("ner", "tsv"),
)

MINI_RETRIEVAL = Task(
    name="mini_retrieval",
    role="demo",
    kind="retrieval",
    title="Mini sentence retrieval",
    form="tatoeba",
    languages=tuple(language for language in LANGUAGES if language != "en"),  # English is the other side
    trained_on=None,
    metric="accuracy",
    licence=LICENCE,
    citation=CITATION,
    obtain=OBTAIN,
    bundled=FolderSource(files={"test": ("data/mini/retrieval/tatoeba.{lang}-eng.{lang}",)}),
)

MINI: tuple[Task, ...] = (MINI_NLI, MINI_PARAPHRASE, MINI_QA, MINI_NER, MINI_RETRIEVAL)
