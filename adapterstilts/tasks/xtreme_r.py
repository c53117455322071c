"""The targets that XTREME-R adds to XTREME, and English COPA, the final training stage for XCOPA."""

from __future__ import annotations

from adapterstilts.tasks.spec import FolderSource, HubSource, Task
from adapterstilts.tasks.targets import XQUAD_LANGUAGES

COPA_ORIGIN = "https://people.ict.usc.edu/~gordon/copa.html"

COPA = Task(
    name="copa",
    role="intermediate",
    kind="choice",
    title="COPA",
    form="copa",
    languages=("en",),
    trained_on="copa",
    metric="accuracy",
    licence="BSD 2-Clause",
    citation="roemmele-etal-2011-choice",
    obtain="COPA as SuperGLUE's JSON lines: xcopa/train-en.jsonl and xcopa/val-en.jsonl, as XTREME-R's "
    "scripts/download_data.sh makes them, or the folder COPA/ of "
    f"https://dl.fbaipublicfiles.com/glue/superglue/data/v2/COPA.zip (the original: {COPA_ORIGIN}).",
    folder=FolderSource(
        files={
            "train": ("xcopa/train-en.jsonl", "COPA/train.jsonl"),
            "dev": ("xcopa/val-en.jsonl", "COPA/val.jsonl"),
        }
    ),
)

XCOPA = Task(
    name="xcopa",
    role="target",
    kind="choice",
    title="XCOPA",
    form="copa",
    languages=("en", "et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"),
    trained_on="siqa",
    then_trained_on=("copa",),
    metric="accuracy",
    licence="CC BY-SA 4.0 (English, COPA: BSD 2-Clause)",
    citation="ponti-etal-2020-xcopa",
    obtain="XCOPA: xcopa/val.{lang}.jsonl and xcopa/test.{lang}.jsonl from "
    "https://github.com/cambridgeltl/xcopa, since XTREME-R's download sets all labels of the test files to "
    f"0; English is COPA, {COPA_ORIGIN} (on the Hub: cambridgeltl/xcopa).",
    folder=FolderSource(
        files={
            "dev": ("xcopa/val.{lang}.jsonl", "xcopa/val-{lang}.jsonl", "xcopa/{lang}/val.{lang}.jsonl"),
            "test": ("xcopa/test.{lang}.jsonl", "xcopa/test-{lang}.jsonl", "xcopa/{lang}/test.{lang}.jsonl"),
        }
    ),
    hub=HubSource(
        repo="cambridgeltl/xcopa",
        config="{lang}",
        reader="copa",
        splits={"dev": "validation", "test": "test"},
        columns=("premise", "choice1", "choice2", "question", "label", "idx"),
        languages=("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh"),
    ),
    parallel="id",
)

LAREQA = Task(
    name="lareqa",
    role="target",
    kind="retrieval",
    title="LAReQA (XQuAD-R), answers among sentences of all languages",
    form="lareqa",
    languages=XQUAD_LANGUAGES,
    trained_on="squad_v1",
    metric="map20",
    licence="CC BY-SA 4.0",
    citation="roy-etal-2020-lareqa",
    obtain="XQuAD-R: lareqa/xquad-r/{lang}.json from https://github.com/google-research-datasets/lareqa; or "
    "XQuAD, xquad/xquad.{lang}.json from https://github.com/google-deepmind/xquad, which a rule then divides "
    "into sentences.",
    folder=FolderSource(
        files={"test": ("lareqa/xquad-r/{lang}.json", "xquad-r/{lang}.json", "xquad/xquad.{lang}.json")}
    ),
    parallel="id",
)

MEWSLIX = Task(
    name="mewslix",
    role="target",
    kind="retrieval",
    title="Mewsli-X, entities by their description",
    form="mewslix",
    languages=("ar", "de", "en", "es", "fa", "ja", "pl", "ro", "ta", "tr", "uk"),
    trained_on=None,
    metric="map20",
    licence="WikiNews: CC BY 2.5; Wikipedia: CC BY-SA 3.0",
    citation="ruder-etal-2021-xtreme",
    obtain="Mewsli-X: mewslix/wikinews_mentions-dev.jsonl, -test.jsonl and candidate_set_entities.jsonl, as "
    "get-mewsli-x.sh makes them, of https://github.com/google-research/google-research/tree/master/"
    "dense_representations_for_entity_retrieval/mel (XTREME-R's own download hides the test's entities).",
    folder=FolderSource(
        files={
            "dev": ("mewslix/wikinews_mentions-dev.jsonl", "mewslix/wikinews_mentions/dev-{lang}.jsonl"),
            "test": ("mewslix/wikinews_mentions-test.jsonl", "mewslix/wikinews_mentions/test-{lang}.jsonl"),
        }
    ),
)

XTREME_R: tuple[Task, ...] = (XCOPA, LAREQA, MEWSLIX)
