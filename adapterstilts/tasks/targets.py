"""Target tasks of XTREME: trained on English, evaluated in every language that they or XTREME-R have."""

from __future__ import annotations

from adapterstilts.tasks.intermediate import NLI_LABELS, NLI_NAMES, SPLITS
from adapterstilts.tasks.spec import FolderSource, HubSource, Split, Task

XTREME = "google/xtreme"

UPOS = (
    "ADJ", "ADP", "ADV", "AUX", "CCONJ", "DET", "INTJ", "NOUN", "NUM",
    "PART", "PRON", "PROPN", "PUNCT", "SCONJ", "SYM", "VERB", "X",
)  # fmt: skip
BIO = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC")

# Languages of the original XTREME; the additions of its successor XTREME-R are separate, since
# google/xtreme on the Hub has the former only.
UDPOS_NAMES = {
    "af": "Afrikaans", "ar": "Arabic", "bg": "Bulgarian", "de": "German", "el": "Greek", "en": "English",
    "es": "Spanish", "et": "Estonian", "eu": "Basque", "fa": "Persian", "fi": "Finnish", "fr": "French",
    "he": "Hebrew", "hi": "Hindi", "hu": "Hungarian", "id": "Indonesian", "it": "Italian", "ja": "Japanese",
    "kk": "Kazakh", "ko": "Korean", "mr": "Marathi", "nl": "Dutch", "pt": "Portuguese", "ru": "Russian",
    "ta": "Tamil", "te": "Telugu", "th": "Thai", "tl": "Tagalog", "tr": "Turkish", "ur": "Urdu",
    "vi": "Vietnamese", "yo": "Yoruba", "zh": "Chinese",
}  # fmt: skip
UDPOS_ADDED = ("lt", "pl", "uk", "wo", "ro")

PANX_LANGUAGES = (
    "af", "ar", "bg", "bn", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "he", "hi", "hu", "id",
    "it", "ja", "jv", "ka", "kk", "ko", "ml", "mr", "ms", "my", "nl", "pt", "ru", "sw", "ta", "te", "th",
    "tl", "tr", "ur", "vi", "yo", "zh",
)  # fmt: skip
PANX_ADDED = ("qu", "pl", "uk", "az", "lt", "pa", "gu", "ro")

XQUAD_LANGUAGES = ("ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh")
XQUAD_ADDED = ("ro",)

TYDIQA_NAMES = {
    "ar": "arabic", "bn": "bengali", "en": "english", "fi": "finnish", "id": "indonesian", "ko": "korean",
    "ru": "russian", "sw": "swahili", "te": "telugu",
}  # fmt: skip

# ISO 639-1 -> the ISO 639-3 code in Tatoeba's file names.
TATOEBA_CODES = {
    "af": "afr", "ar": "ara", "bg": "bul", "bn": "ben", "de": "deu", "el": "ell", "es": "spa", "et": "est",
    "eu": "eus", "fa": "pes", "fi": "fin", "fr": "fra", "he": "heb", "hi": "hin", "hu": "hun", "id": "ind",
    "it": "ita", "ja": "jpn", "jv": "jav", "ka": "kat", "kk": "kaz", "ko": "kor", "ml": "mal", "mr": "mar",
    "nl": "nld", "pt": "por", "ru": "rus", "sw": "swh", "ta": "tam", "te": "tel", "th": "tha", "tl": "tgl",
    "tr": "tur", "ur": "urd", "vi": "vie", "zh": "cmn",
}  # fmt: skip
TATOEBA_ADDED = {"az": "aze", "lt": "lit", "pl": "pol", "uk": "ukr", "ro": "ron"}
TATOEBA_MORE = {"yi": "yid"}  # in neither benchmark, but in the same release

XNLI = Task(
    name="xnli",
    role="target",
    kind="sequence",
    title="XNLI",
    form="pair",
    languages=("ar", "bg", "de", "el", "en", "es", "fr", "hi", "ru", "sw", "th", "tr", "ur", "vi", "zh"),
    trained_on="mnli",
    metric="accuracy",
    licence="CC BY-NC 4.0",
    citation="conneau-etal-2018-xnli",
    obtain="XNLI: xnli/dev-{lang}.tsv as XTREME's scripts/download_data.sh makes them, or the folder "
    "XNLI-1.0/ of https://dl.fbaipublicfiles.com/XNLI/XNLI-1.0.zip (on the Hub: google/xtreme).",
    labels=NLI_LABELS,
    label_names=NLI_NAMES,
    folder=FolderSource(
        files={
            "dev": ("xnli/dev-{lang}.tsv", "XNLI-1.0/xnli.dev.tsv"),
            "test": ("XNLI-1.0/xnli.test.tsv", "xnli/test-{lang}.tsv"),
        }
    ),
    hub=HubSource(
        repo=XTREME,
        config="XNLI",
        reader="pair",
        splits={"dev": "validation", "test": "test"},
        columns=("language", "sentence1", "sentence2", "gold_label"),
    ),
    parallel="order",
)

PAWSX = Task(
    name="pawsx",
    role="target",
    kind="sequence",
    title="PAWS-X",
    form="pair",
    languages=("de", "en", "es", "fr", "ja", "ko", "zh"),
    trained_on="pawsx",
    metric="accuracy",
    licence="free use for any purpose, with acknowledgement of Google LLC (PAWS-X licence)",
    citation="yang-etal-2019-paws",
    obtain="PAWS-X: pawsx/train-en.tsv and pawsx/dev-{lang}.tsv as XTREME's scripts/download_data.sh makes "
    "them, or the folder x-final/ of https://storage.googleapis.com/paws/pawsx/x-final.tar.gz "
    "(on the Hub: google/xtreme).",
    labels=("different", "paraphrase"),
    label_names={"0": "different", "1": "paraphrase"},
    folder=FolderSource(
        files={
            "train": ("pawsx/train-{lang}.tsv", "x-final/{lang}/train.tsv"),
            "dev": ("pawsx/dev-{lang}.tsv", "x-final/{lang}/dev_2k.tsv"),
            "test": ("x-final/{lang}/test_2k.tsv", "pawsx/test-{lang}.tsv"),
        }
    ),
    hub=HubSource(
        repo=XTREME,
        config="PAWS-X.{lang}",
        reader="pair",
        splits={"train": "train", "dev": "validation", "test": "test"},
        columns=("sentence1", "sentence2", "label"),
    ),
    parallel="order",
    symmetric=True,
)


def _udpos(split: Split) -> tuple[str, ...]:
    """XTREME's file, or all treebanks of the language as UD releases them; XTREME's test file has no tags."""
    release = [
        f"{folder}UD_*/{{lang}}_*-ud-{split}.conllu"
        for folder in ("", "udpos/", "ud-treebanks-v2.7/", "ud-treebanks-v2.5/")
    ]
    split_file = f"udpos/{split}-{{lang}}.tsv"
    return (*release, split_file) if split == "test" else (split_file, *release)


UDPOS = Task(
    name="udpos",
    role="target",
    kind="tagging",
    title="Part-of-speech tags (Universal Dependencies)",
    form="token-tag",
    languages=(*UDPOS_NAMES, *UDPOS_ADDED),
    trained_on="udpos",
    metric="f1",
    licence="the licence of each UD treebank",
    citation="nivre-etal-2020-universal",
    obtain="Universal Dependencies as udpos/train-en.tsv and udpos/dev-{lang}.tsv, as XTREME's "
    "scripts/download_data.sh makes them, or the release's folders UD_*/ (version 2.5 is XTREME's, 2.7 "
    "XTREME-R's) from https://universaldependencies.org (on the Hub: google/xtreme).",
    labels=UPOS,
    folder=FolderSource(files={split: _udpos(split) for split in SPLITS}),
    hub=HubSource(
        repo=XTREME,
        config="udpos.{lang}",
        reader="tagged",
        splits={"train": "train", "dev": "validation", "test": "test"},
        columns=("tokens", "pos_tags"),
        codes=UDPOS_NAMES,
        languages=tuple(UDPOS_NAMES),
    ),
    version=2,
)

PANX = Task(
    name="panx",
    role="target",
    kind="tagging",
    title="Named entities (PAN-X, WikiANN)",
    form="token-tag",
    languages=(*PANX_LANGUAGES, *PANX_ADDED),
    trained_on="panx",
    metric="f1",
    licence="ODC-BY 1.0",
    citation="pan-etal-2017-cross",
    obtain="PAN-X (WikiANN with the splits of Rahimi et al. 2019): panx/train-en.tsv and panx/dev-{lang}.tsv "
    "as https://github.com/google-research/xtreme makes them (scripts/download_data.sh) from "
    "AmazonPhotos.zip (on the Hub: google/xtreme).",
    labels=BIO,
    folder=FolderSource(
        files={
            "train": ("panx/train-{lang}.tsv", "panx/{lang}/train", "panx_dataset/{lang}-train"),
            "dev": ("panx/dev-{lang}.tsv", "panx/{lang}/dev", "panx_dataset/{lang}-dev"),
            "test": ("panx/{lang}/test", "panx_dataset/{lang}-test", "panx/test-{lang}.tsv"),
        }
    ),
    hub=HubSource(
        repo=XTREME,
        config="PAN-X.{lang}",
        reader="tagged",
        splits={"train": "train", "dev": "validation", "test": "test"},
        columns=("tokens", "ner_tags"),
        languages=PANX_LANGUAGES,
    ),
)

XQUAD = Task(
    name="xquad",
    role="target",
    kind="span",
    title="XQuAD",
    form="squad",
    languages=(*XQUAD_LANGUAGES, *XQUAD_ADDED),
    trained_on="squad_v1",
    metric="em_f1",
    licence="CC BY-SA 4.0",
    citation="artetxe-etal-2020-cross",
    obtain="XQuAD: xquad/xquad.{lang}.json from https://github.com/google-deepmind/xquad (XTREME's own "
    "download blanks the answers; on the Hub: google/xtreme).",
    folder=FolderSource(files={"dev": ("xquad/xquad.{lang}.json",), "test": ("xquad/xquad.{lang}.json",)}),
    hub=HubSource(
        repo=XTREME,
        config="XQuAD.{lang}",
        reader="stripped_question",
        splits={"dev": "validation", "test": "validation"},
        columns=("id", "question", "context", "answers"),
        languages=XQUAD_LANGUAGES,
    ),
    parallel="id",
)

MLQA = Task(
    name="mlqa",
    role="target",
    kind="span",
    title="MLQA",
    form="squad",
    languages=("ar", "de", "en", "es", "hi", "vi", "zh"),
    trained_on="squad_v1",
    metric="em_f1",
    licence="CC BY-SA 3.0",
    citation="lewis-etal-2020-mlqa",
    obtain="MLQA 1.0: mlqa/MLQA_V1/dev/dev-context-{lang}-question-{lang}.json and test/ beside it, from "
    "https://dl.fbaipublicfiles.com/MLQA/MLQA_V1.zip (XTREME's own download blanks the answers of the test; "
    "on the Hub: google/xtreme).",
    folder=FolderSource(
        files={
            "dev": (
                "mlqa/MLQA_V1/dev/dev-context-{lang}-question-{lang}.json",
                "MLQA_V1/dev/dev-context-{lang}-question-{lang}.json",
            ),
            "test": (
                "mlqa/MLQA_V1/test/test-context-{lang}-question-{lang}.json",
                "MLQA_V1/test/test-context-{lang}-question-{lang}.json",
            ),
        }
    ),
    hub=HubSource(
        repo=XTREME,
        config="MLQA.{lang}.{lang}",
        reader="stripped_question",
        splits={"dev": "validation", "test": "test"},
        columns=("id", "question", "context", "answers"),
    ),
    parallel="id",
    normalisation="mlqa",
)

TYDIQA = Task(
    name="tydiqa",
    role="target",
    kind="span",
    title="TyDiQA GoldP",
    form="squad",
    languages=tuple(TYDIQA_NAMES),
    trained_on="tydiqa",
    metric="em_f1",
    licence="Apache 2.0",
    citation="clark-etal-2020-tydi",
    obtain="TyDiQA GoldP 1.1: tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.en.train.json as XTREME's "
    "scripts/download_data.sh makes it, and labelled development files (XTREME blanks the answers) from "
    "https://storage.googleapis.com/tydiqa/v1.1/tydiqa-goldp-v1.1-dev.tgz (on the Hub: google/xtreme).",
    folder=FolderSource(
        files={
            "train": ("tydiqa/tydiqa-goldp-v1.1-train/tydiqa.goldp.{lang}.train.json",),
            "dev": ("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{lang}.dev.json",),
            "test": ("tydiqa/tydiqa-goldp-v1.1-dev/tydiqa.goldp.{lang}.dev.json",),
        }
    ),
    hub=HubSource(
        repo=XTREME,
        config="tydiqa",
        reader="tydiqa",
        splits={"train": "train", "dev": "validation", "test": "validation"},
        columns=("id", "question", "context", "answers"),
        codes=TYDIQA_NAMES,
    ),
)

TATOEBA = Task(
    name="tatoeba",
    role="target",
    kind="retrieval",
    title="Tatoeba (LASER), foreign to English",
    form="tatoeba",
    languages=(*TATOEBA_CODES, *TATOEBA_ADDED, *TATOEBA_MORE),
    trained_on=None,
    metric="accuracy",
    licence="CC BY 2.0 FR",
    citation="artetxe-schwenk-2019-massively",
    obtain="Tatoeba as LASER distributes it: tatoeba/tatoeba.XXX-eng.XXX and tatoeba.XXX-eng.eng (ISO 639-3) "
    "from https://github.com/facebookresearch/LASER/tree/main/data/tatoeba/v1 (XTREME's own download sorts "
    "the English side, which hides the pairs; on the Hub: google/xtreme).",
    folder=FolderSource(
        files={
            "test": (
                "tatoeba/tatoeba.{lang}-eng.{lang}",
                "tatoeba/v1/tatoeba.{lang}-eng.{lang}",
            )
        },
        codes={**TATOEBA_CODES, **TATOEBA_ADDED, **TATOEBA_MORE},
    ),
    hub=HubSource(
        repo=XTREME,
        config="tatoeba.{lang}",
        reader="translation",
        splits={"test": "validation"},
        columns=("source_sentence", "target_sentence"),
        codes=TATOEBA_CODES,
        languages=tuple(TATOEBA_CODES),
    ),
    version=2,
)

BUCC2018 = Task(
    name="bucc2018",
    role="target",
    kind="mining",
    title="BUCC 2018, bitext mining with English",
    form="bucc",
    languages=("de", "fr", "ru", "zh"),
    trained_on=None,
    metric="f1",
    licence="free for research",
    citation="zweigenbaum-etal-2018-overview",
    obtain="BUCC 2018: bucc2018/{lang}-en.dev.{lang}, .en and .gold and the same of {lang}-en.test, the "
    "sample and the training data of https://comparable.limsi.fr/bucc2018/ as XTREME's download script "
    "renames them (it removes the gold pairs of the latter; the Hub's copies lack the texts to mine).",
    folder=FolderSource(
        files={
            "dev": (
                "bucc2018/{lang}-en.dev.{lang}",
                "bucc2018/{lang}-en.sample.{lang}",
                "bucc2018/{lang}-en/{lang}-en.sample.{lang}",
            ),
            "test": (
                "bucc2018/{lang}-en.test.{lang}",
                "bucc2018/{lang}-en.training.{lang}",
                "bucc2018/{lang}-en/{lang}-en.training.{lang}",
            ),
        }
    ),
)

TARGETS: tuple[Task, ...] = (XNLI, PAWSX, UDPOS, PANX, XQUAD, MLQA, TYDIQA, BUCC2018, TATOEBA)
