"""English intermediate tasks: what an adapter is trained on before a target task."""

from __future__ import annotations

from adapterstilts.tasks.spec import FolderSource, HubSource, Task

NLI_LABELS = ("entailment", "neutral", "contradiction")
NLI_NAMES = {"contradictory": "contradiction"}  # as the MultiNLI copy in XNLI-MT-1.0 spells it

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

INTERMEDIATE: tuple[Task, ...] = (SQUAD_V1, SQUAD_V2, MNLI, HELLASWAG, COSMOSQA, CSQA, SIQA)
