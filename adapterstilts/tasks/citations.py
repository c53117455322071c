"""Credits of data sets: licences, and the papers of the citation keys in task entries."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from adapterstilts.tasks.lookup import get_task
from adapterstilts.tasks.spec import Task
from adapterstilts.values import Value

REFERENCES: Mapping[str, str] = {
    "adapterstilts-mini": "written for adapterstilts",
    "artetxe-etal-2020-cross": "Artetxe et al. 2020 (XQuAD), https://aclanthology.org/2020.acl-main.421",
    "artetxe-schwenk-2019-massively": "Artetxe and Schwenk 2019 (Tatoeba), https://aclanthology.org/Q19-1038",
    "bowman-etal-2015-large": "Bowman et al. 2015 (SNLI), https://aclanthology.org/D15-1075",
    "clark-etal-2020-tydi": "Clark et al. 2020 (TyDi QA), https://aclanthology.org/2020.tacl-1.30",
    "conneau-etal-2018-xnli": "Conneau et al. 2018 (XNLI), https://aclanthology.org/D18-1269",
    "devlin-etal-2019-bert": "Devlin et al. 2019 (masked language modelling), https://aclanthology.org/N19-1423",
    "hockenmaier-steedman-2007-ccgbank": "Hockenmaier and Steedman 2007 (CCGbank), "
    "https://aclanthology.org/J07-3004",
    "huang-etal-2019-cosmos": "Huang et al. 2019 (Cosmos QA), https://aclanthology.org/D19-1243",
    "iyer-etal-2017-quora": "Iyer et al. 2017 (Quora Question Pairs), a data release of Quora",
    "lewis-etal-2020-mlqa": "Lewis et al. 2020 (MLQA), https://aclanthology.org/2020.acl-main.653",
    "nie-etal-2020-adversarial": "Nie et al. 2020 (ANLI), https://aclanthology.org/2020.acl-main.441",
    "nivre-etal-2020-universal": "Nivre et al. 2020 (Universal Dependencies), "
    "https://aclanthology.org/2020.lrec-1.497",
    "pan-etal-2017-cross": "Pan et al. 2017 (WikiANN), https://aclanthology.org/P17-1178",
    "ponti-etal-2020-xcopa": "Ponti et al. 2020 (XCOPA), https://aclanthology.org/2020.emnlp-main.185",
    "rajpurkar-etal-2016-squad": "Rajpurkar et al. 2016 (SQuAD), https://aclanthology.org/D16-1264",
    "rajpurkar-etal-2018-know": "Rajpurkar et al. 2018 (SQuAD 2.0), https://aclanthology.org/P18-2124",
    "roemmele-etal-2011-choice": "Roemmele et al. 2011 (COPA), AAAI Spring Symposium on Logical "
    "Formalizations of Commonsense Reasoning",
    "roy-etal-2020-lareqa": "Roy et al. 2020 (LAReQA), https://aclanthology.org/2020.emnlp-main.477",
    "ruder-etal-2021-xtreme": "Ruder et al. 2021 (XTREME-R), https://aclanthology.org/2021.emnlp-main.802",
    "sap-etal-2019-social": "Sap et al. 2019 (Social IQa), https://aclanthology.org/D19-1454",
    "talmor-etal-2019-commonsenseqa": "Talmor et al. 2019 (CommonsenseQA), https://aclanthology.org/N19-1421",
    "williams-etal-2018-broad": "Williams et al. 2018 (MultiNLI), https://aclanthology.org/N18-1101",
    "yang-etal-2019-paws": "Yang et al. 2019 (PAWS-X), https://aclanthology.org/D19-1382",
    "zellers-etal-2019-hellaswag": "Zellers et al. 2019 (HellaSwag), https://aclanthology.org/P19-1472",
    "zweigenbaum-etal-2018-overview": "Zweigenbaum et al. 2018 (BUCC), "
    "Workshop on Building and Using Comparable Corpora",
}


def reference(citation: str) -> str:
    """Returns the paper of a citation key, or the key itself for a custom task."""
    return REFERENCES.get(citation, citation)


class Credit(Value):
    """The credit for one data set.

    Attributes:
        task, title: Which one.
        licence, citation: Licence and citation as in the entry; the citation may be a key of `REFERENCES`.
        dataset: Its id on the Hub, or None.
    """

    task: str
    title: str
    licence: str
    citation: str
    dataset: str | None = None

    @staticmethod
    def of(tasks: Iterable[Task]) -> tuple[Credit, ...]:
        """Returns a credit for each data set of the tasks; for a mixture, one for each part."""
        by_task: dict[str, Credit] = {}
        for task in tasks:
            for entry in [get_task(part) for part in task.parts] or [task]:
                by_task[entry.name] = Credit(
                    task=entry.name,
                    title=entry.title,
                    licence=entry.licence,
                    citation=entry.citation,
                    # Plain text can come from any data set.
                    dataset=entry.hub.repo if entry.hub and not entry.kind_spec.plain_text else None,
                )
        return tuple(by_task.values())
