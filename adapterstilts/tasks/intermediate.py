"""English intermediate tasks: what an adapter is trained on before a target task."""

from __future__ import annotations

from collections.abc import Iterable

from adapterstilts.tasks.spec import FolderSource, HubSource, Split, Task

SPLITS: tuple[Split, ...] = ("train", "dev", "test")
NLI_LABELS = ("entailment", "neutral", "contradiction")
NLI_NAMES = {"contradictory": "contradiction"}  # as the MultiNLI copy in XNLI-MT-1.0 spells it


def _joined(template: str, parts: Iterable[str]) -> str:
    """One template for several files (or splits of the Hub), read one after the other."""
    return "+".join(template.format(part) for part in parts)


def _ccgbank(sections: Iterable[str], split: Split) -> tuple[str, ...]:
    """The release's folders of these sections, or one file of the split."""
    roots = ("ccgbank_1_1/data/AUTO", "ccgbank/data/AUTO", "ccg/AUTO")
    folders = (_joined(f"{root}/{{}}/*.auto", sections) for root in roots)
    return (*folders, *(f"ccg/{split}.{ending}" for ending in ("auto", "stagged", "tsv")))


SQUAD_V1 = Task(
    name="squad_v1",
    role="intermediate",
    kind="span",
    title="SQuAD v1.1",
    form="squad",
    languages=("en",),
    trained_on="squad_v1",
    metric="em_f1",
    licence="CC BY-SA 4.0",
    citation="rajpurkar-etal-2016-squad",
    obtain="SQuAD v1.1: squad/train-v1.1.json and squad/dev-v1.1.json from "
    "https://rajpurkar.github.io/SQuAD-explorer/dataset/ (on the Hub: rajpurkar/squad).",
    folder=FolderSource(files={"train": ("squad/train-v1.1.json",), "dev": ("squad/dev-v1.1.json",)}),
    hub=HubSource(
        repo="rajpurkar/squad",
        reader="question",
        splits={"train": "train", "dev": "validation"},
        columns=("id", "question", "context", "answers"),
    ),
    aliases=("squad",),
)

SQUAD_V2 = Task(
    name="squad_v2",
    role="intermediate",
    kind="span",
    title="SQuAD v2.0",
    form="squad",
    languages=("en",),
    trained_on="squad_v2",
    metric="em_f1",
    licence="CC BY-SA 4.0",
    citation="rajpurkar-etal-2018-know",
    obtain="SQuAD v2.0: squad/train-v2.0.json and squad/dev-v2.0.json from "
    "https://rajpurkar.github.io/SQuAD-explorer/dataset/ (on the Hub: rajpurkar/squad_v2).",
    folder=FolderSource(
        files={
            "train": ("squad/train-v2.0.json", "squad_v2/train-v2.0.json"),
            "dev": ("squad/dev-v2.0.json", "squad_v2/dev-v2.0.json"),
        }
    ),
    hub=HubSource(
        repo="rajpurkar/squad_v2",
        reader="question",
        splits={"train": "train", "dev": "validation"},
        columns=("id", "question", "context", "answers"),
    ),
    unanswerable=True,
)

MNLI = Task(
    name="mnli",
    role="intermediate",
    kind="sequence",
    title="MultiNLI",
    form="pair",
    languages=("en",),
    trained_on="mnli",
    metric="accuracy",
    licence="OANC, CC BY 3.0, CC BY-SA 3.0 and other, by genre (see section 3.4 of the paper)",
    citation="williams-etal-2018-broad",
    obtain="MultiNLI 1.0: multinli_1.0/multinli_1.0_train.jsonl and multinli_1.0_dev_matched.jsonl there "
    "from https://cims.nyu.edu/~sbowman/multinli/, or the xnli/train-en.tsv of XTREME's download "
    "(on the Hub: nyu-mll/multi_nli).",
    labels=NLI_LABELS,
    label_names=NLI_NAMES,
    folder=FolderSource(
        files={
            "train": (
                "multinli_1.0/multinli_1.0_train.jsonl",
                "mnli/multinli_1.0_train.jsonl",
                "mnli/train.tsv",
                "MNLI/train.tsv",
                "xnli/train-en.tsv",
            ),
            "dev": (
                "multinli_1.0/multinli_1.0_dev_matched.jsonl",
                "mnli/multinli_1.0_dev_matched.jsonl",
                "mnli/dev_matched.tsv",
                "MNLI/dev_matched.tsv",
            ),
        }
    ),
    hub=HubSource(
        repo="nyu-mll/multi_nli",
        reader="pair",
        splits={"train": "train", "dev": "validation_matched"},
        columns=("pairID", "premise", "hypothesis", "label"),
    ),
)

ANLI = Task(
    name="anli",
    role="intermediate",
    kind="sequence",
    title="Adversarial NLI, rounds 1 to 3",
    form="pair",
    languages=("en",),
    trained_on="anli",
    metric="accuracy",
    licence="CC BY-NC 4.0",
    citation="nie-etal-2020-adversarial",
    obtain="ANLI 1.0: the folder anli_v1.0/ (R1/train.jsonl, R1/dev.jsonl and so on to R3) of "
    "https://dl.fbaipublicfiles.com/anli/anli_v1.0.zip (on the Hub: facebook/anli).",
    labels=NLI_LABELS,
    label_names={"e": "entailment", "n": "neutral", "c": "contradiction"},
    folder=FolderSource(
        files={
            split: tuple(_joined(f"{root}/R{{}}/{split}.jsonl", "123") for root in ("anli_v1.0", "anli"))
            for split in SPLITS
        }
    ),
    hub=HubSource(
        repo="facebook/anli",
        reader="pair",
        splits={split: _joined(f"{split}_r{{}}", "123") for split in SPLITS},
        columns=("uid", "premise", "hypothesis", "label"),
    ),
)

SNLI = Task(
    name="snli",
    role="intermediate",
    kind="sequence",
    title="SNLI",
    form="pair",
    languages=("en",),
    trained_on="snli",
    metric="accuracy",
    licence="CC BY-SA 4.0",
    citation="bowman-etal-2015-large",
    obtain="SNLI 1.0: snli_1.0/snli_1.0_train.jsonl and snli_1.0/snli_1.0_dev.jsonl from "
    "https://nlp.stanford.edu/projects/snli/snli_1.0.zip (on the Hub: stanfordnlp/snli).",
    labels=NLI_LABELS,
    folder=FolderSource(
        files={
            split: (f"snli_1.0/snli_1.0_{split}.jsonl", f"snli/snli_1.0_{split}.jsonl") for split in SPLITS
        }
    ),
    hub=HubSource(
        repo="stanfordnlp/snli",
        reader="pair_or_no_gold",
        splits={"train": "train", "dev": "validation", "test": "test"},
        columns=("premise", "hypothesis", "label"),
    ),
)

ANLI_PLUS = Task(
    name="anli_plus",
    role="intermediate",
    kind="sequence",
    title="ANLI+: ANLI, MultiNLI and SNLI together",
    form="pair",
    languages=("en",),
    trained_on="anli_plus",
    metric="accuracy",
    licence="that of each part (ANLI: CC BY-NC 4.0)",
    citation="nie-etal-2020-adversarial",
    obtain="ANLI 1.0 (https://dl.fbaipublicfiles.com/anli/anli_v1.0.zip), MultiNLI and SNLI, each where its "
    "own entry looks for it: adapterstilts tasks lists them as anli, mnli and snli.",
    labels=NLI_LABELS,
    label_names={**ANLI.label_names, **NLI_NAMES},
    parts=("anli", "mnli", "snli"),
    aliases=("anli+",),
)

QQP = Task(
    name="qqp",
    role="intermediate",
    kind="sequence",
    title="Quora Question Pairs",
    form="qqp",
    languages=("en",),
    trained_on="qqp",
    metric="accuracy",
    licence="Quora's terms of service (research, not commercial)",
    citation="iyer-etal-2017-quora",
    obtain="Quora Question Pairs in GLUE's form: QQP/train.tsv and QQP/dev.tsv of "
    "https://dl.fbaipublicfiles.com/glue/data/QQP-clean.zip (on the Hub: nyu-mll/glue).",
    labels=("not_duplicate", "duplicate"),
    label_names={"0": "not_duplicate", "1": "duplicate"},
    folder=FolderSource(
        files={split: (f"QQP/{split}.tsv", f"qqp/{split}.tsv") for split in SPLITS if split != "test"}
    ),
    hub=HubSource(
        repo="nyu-mll/glue",
        config="qqp",
        reader="pair",
        splits={"train": "train", "dev": "validation"},
        columns=("question1", "question2", "label"),
    ),
    symmetric=True,
)

HELLASWAG = Task(
    name="hellaswag",
    role="intermediate",
    kind="choice",
    title="HellaSwag",
    form="hellaswag",
    languages=("en",),
    trained_on="hellaswag",
    metric="accuracy",
    licence="MIT",
    citation="zellers-etal-2019-hellaswag",
    obtain="HellaSwag: hellaswag/hellaswag_train.jsonl and hellaswag/hellaswag_val.jsonl from "
    "https://github.com/rowanz/hellaswag/tree/master/data (on the Hub: Rowan/hellaswag).",
    folder=FolderSource(
        files={"train": ("hellaswag/hellaswag_train.jsonl",), "dev": ("hellaswag/hellaswag_val.jsonl",)}
    ),
    hub=HubSource(
        repo="Rowan/hellaswag",
        reader="hellaswag",
        splits={"train": "train", "dev": "validation"},
        columns=("ind", "ctx", "endings", "label"),
    ),
)

COSMOSQA = Task(
    name="cosmosqa",
    role="intermediate",
    kind="choice",
    title="Cosmos QA",
    form="cosmosqa",
    languages=("en",),
    trained_on="cosmosqa",
    metric="accuracy",
    licence="CC BY 4.0",
    citation="huang-etal-2019-cosmos",
    obtain="Cosmos QA: cosmosqa/train.csv and cosmosqa/valid.csv from "
    "https://github.com/wilburOne/cosmosqa/tree/master/data (on the Hub: allenai/cosmos_qa).",
    folder=FolderSource(
        files={
            "train": ("cosmosqa/train.csv", "cosmosqa/train.jsonl"),
            "dev": ("cosmosqa/valid.csv", "cosmosqa/valid.jsonl"),
        }
    ),
    hub=HubSource(
        repo="allenai/cosmos_qa",
        reader="cosmosqa",
        splits={"train": "train", "dev": "validation"},
        columns=("id", "context", "question", "answer0", "answer1", "answer2", "answer3", "label"),
        revision="refs/convert/parquet",
    ),
)

CSQA = Task(
    name="csqa",
    role="intermediate",
    kind="choice",
    title="CommonsenseQA",
    form="csqa",
    languages=("en",),
    trained_on="csqa",
    metric="accuracy",
    licence="MIT",
    citation="talmor-etal-2019-commonsenseqa",
    obtain="CommonsenseQA 1.11 (random split): commonsenseqa/train_rand_split.jsonl and "
    "commonsenseqa/dev_rand_split.jsonl from https://www.tau-nlp.sites.tau.ac.il/commonsenseqa "
    "(on the Hub: tau/commonsense_qa).",
    folder=FolderSource(
        files={
            "train": ("commonsenseqa/train_rand_split.jsonl", "csqa/train_rand_split.jsonl"),
            "dev": ("commonsenseqa/dev_rand_split.jsonl", "csqa/dev_rand_split.jsonl"),
        }
    ),
    hub=HubSource(
        repo="tau/commonsense_qa",
        reader="csqa",
        splits={"train": "train", "dev": "validation"},
        columns=("id", "question", "choices", "answerKey"),
    ),
    aliases=("commonsenseqa",),
)

CCG = Task(
    name="ccg",
    role="intermediate",
    kind="tagging",
    title="CCG supertags (CCGbank)",
    form="ccg",
    languages=("en",),
    trained_on="ccg",
    metric="accuracy",
    licence="LDC user agreement (LDC2005T13)",
    citation="hockenmaier-steedman-2007-ccgbank",
    obtain="CCGbank 1.1 (https://catalog.ldc.upenn.edu/LDC2005T13): its folder ccgbank_1_1/, of which "
    "sections 02-21 train and 00 is development data, or ccg/train.auto and ccg/dev.auto (or .stagged, or "
    ".tsv: token, tab, supertag).",
    open_labels=10,
    folder=FolderSource(
        files={
            "train": _ccgbank(("0[2-9]", "1[0-9]", "2[01]"), "train"),
            "dev": _ccgbank(("00",), "dev"),
            "test": _ccgbank(("23",), "test"),
        }
    ),
    version=2,
)

SIQA = Task(
    name="siqa",
    role="intermediate",
    kind="choice",
    title="Social IQa",
    form="siqa",
    languages=("en",),
    trained_on="siqa",
    metric="accuracy",
    licence="CC BY 4.0",
    citation="sap-etal-2019-social",
    obtain="Social IQa 1.4: siqa/socialIQa_v1.4_trn.jsonl and siqa/socialIQa_v1.4_dev.jsonl from "
    "https://maartensap.github.io/social-iqa/ (on the Hub: lighteval/siqa).",
    folder=FolderSource(
        files={
            "train": ("siqa/socialIQa_v1.4_trn.jsonl", "siqa/train.jsonl"),
            "dev": ("siqa/socialIQa_v1.4_dev.jsonl", "siqa/dev.jsonl"),
        }
    ),
    hub=HubSource(
        repo="lighteval/siqa",  # allenai/social_i_qa as data files; the original has only a loading script
        reader="siqa",
        splits={"train": "train", "dev": "validation"},
        columns=("context", "question", "answerA", "answerB", "answerC", "label"),
    ),
    aliases=("socialiqa",),
)

INTERMEDIATE: tuple[Task, ...] = (
    SQUAD_V1, SQUAD_V2, MNLI, ANLI, SNLI, ANLI_PLUS, QQP, HELLASWAG, COSMOSQA, CSQA, CCG, SIQA,
)  # fmt: skip
