"""Suites of targets, each with the languages that its score is a mean over.

`paper` has the targets of Phang et al. (2020, arXiv 2005.13013), `PAPER_INTERMEDIATE` their nine
intermediate tasks. The lists of tasks and languages are those of XTREME's and XTREME-R's `evaluate.py`
(https://github.com/google-research/xtreme), with LAReQA's languages as in Roy et al. (2020).
"""

from __future__ import annotations

from collections.abc import Mapping

from adapterstilts.errors import unknown
from adapterstilts.tasks.targets import (
    BUCC2018,
    MLQA,
    PANX,
    PANX_LANGUAGES,
    PAWSX,
    TATOEBA_ADDED,
    TATOEBA_CODES,
    TYDIQA,
    UDPOS,
    UDPOS_NAMES,
    XNLI,
    XQUAD,
    XQUAD_LANGUAGES,
)
from adapterstilts.tasks.xtreme_r import LAREQA, MEWSLIX, XCOPA

Suite = Mapping[str, tuple[str, ...]]  # target -> the languages that count

PAPER_INTERMEDIATE = (
    "anli_plus", "mnli", "qqp", "squad_v1", "squad_v2", "hellaswag", "ccg", "cosmosqa", "csqa",
)  # fmt: skip

_XTREME: Suite = {
    "xnli": XNLI.languages,
    "pawsx": PAWSX.languages,
    "udpos": tuple(UDPOS_NAMES),
    "panx": PANX_LANGUAGES,
    "xquad": XQUAD_LANGUAGES,
    "mlqa": MLQA.languages,
    "tydiqa": TYDIQA.languages,
    "bucc2018": BUCC2018.languages,
    "tatoeba": tuple(TATOEBA_CODES),
}
_XTREME_R: Suite = {
    "xnli": XNLI.languages,
    "xcopa": tuple(code for code in XCOPA.languages if code != "en"),
    "udpos": UDPOS.languages,
    "panx": PANX.languages,
    "xquad": XQUAD.languages,
    "mlqa": MLQA.languages,
    "tydiqa": TYDIQA.languages,
    "tatoeba": (*TATOEBA_CODES, *TATOEBA_ADDED),
    "mewslix": MEWSLIX.languages,
    "lareqa": LAREQA.languages,
}
SUITES: Mapping[str, Suite] = {"xtreme": _XTREME, "xtreme-r": _XTREME_R, "paper": _XTREME}


def suite(name: str) -> tuple[str, ...]:
    """Returns the targets of a suite.

    Raises:
        ConfigError: No suite has the name; the message suggests the nearest one.
    """
    return tuple(_suite(name))


def suite_languages(name: str, task: str) -> tuple[str, ...]:
    """Returns the languages of one target that count in a suite.

    Raises:
        ConfigError: The suite does not exist or does not have the target.
    """
    targets = _suite(name)
    if task not in targets:
        raise unknown(f"target of {name}", task, targets)
    return targets[task]


def _suite(name: str) -> Suite:
    if name not in SUITES:
        raise unknown("suite", name, SUITES)
    return SUITES[name]
