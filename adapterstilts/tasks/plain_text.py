"""Plain text in one or more languages, for language adapters and multi-task training."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from adapterstilts.tasks.spec import FolderSource, HubSource, Task

# ISO 639-1, and the languages of MAD-X (Pfeiffer et al. 2020) that have no code of two letters.
LANGUAGES = tuple(
    (
        "aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de "
        "dv dz ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id "
        "ie ig ii ik io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu "
        "lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu "
        "rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr "
        "ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu cdo ilo mhr myv xmf"
    ).split()
)

MLM = Task(
    name="mlm",
    role="language",
    kind="mlm",
    title="Masked language modelling",
    form="lines",
    languages=LANGUAGES,
    trained_on="mlm",
    metric="accuracy",
    licence="that of the text; Wikipedia's is CC BY-SA 4.0",
    citation="devlin-etal-2019-bert",
    obtain="plain text, one sentence or paragraph a line: text/{lang}.txt, or any file or Hub dataset with a "
    "column 'text' (--text), such as Wikipedia's from https://dumps.wikimedia.org "
    "(on the Hub: wikimedia/wikipedia).",
    folder=FolderSource(files={"train": ("text/{lang}.txt",)}),
    hub=HubSource(
        repo="wikimedia/wikipedia",
        reader="text",
        splits={"train": "train[:100000]"},
        columns=("text",),
        config="20231101.{lang}",
    ),
)


def codes_in_name(name: str, languages: Sequence[str]) -> tuple[str, ...]:
    """Returns the languages whose code is a separate word of a file name."""
    parts = set(re.split(r"[^A-Za-z0-9]+", PurePosixPath(name).name))
    return tuple(code for code in languages if code in parts)
