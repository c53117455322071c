"""Makes the data files of the bundled mini tasks from the tables under `scripts/mini`, always the same."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import mini_english
from mini_tables import LANGUAGES, Scene, Story, context, scenes, stories, tag, unmark

TARGET = Path(__file__).parents[1] / "adapterstilts" / "data" / "mini"
SEED = 1
ROUNDS = {"nli": 3, "paraphrase": 4, "stories": 4}


def build() -> dict[str, str]:
    """Every data file: path below the data folder -> text."""
    return {**_pairs(), **_stories(), **_retrieval()}


def _pairs() -> dict[str, str]:
    files: dict[str, str] = {}
    for name, make in (("nli", mini_english.nli), ("paraphrase", mini_english.paraphrase)):
        train, dev = mini_english.split(60, make, ROUNDS[name], SEED)
        files |= {f"{name}/train-en.tsv": _table(train), f"{name}/dev-en.tsv": _table(_balanced(dev))}
    for language in LANGUAGES:
        told = scenes(language)
        files[f"nli/test-{language}.tsv"] = _table(
            pair for scene in told if scene.true for pair in _judged(scene)
        )
        files[f"paraphrase/test-{language}.tsv"] = _table(pair for scene in told for pair in _compared(scene))
    return files


def _balanced(pairs: Sequence[mini_english.Pair]) -> list[mini_english.Pair]:
    """As many pairs of each label as the rarest one has."""
    labels = [label for _, _, label in pairs]
    most = min(labels.count(label) for label in set(labels))
    return [pair for number, pair in enumerate(pairs) if labels[:number].count(pair[2]) < most]


def _judged(scene: Scene) -> list[mini_english.Pair]:
    """A premise with its three hypotheses."""
    return [
        (scene.base, scene.true, "entailment"),
        (scene.base, scene.open, "neutral"),
        (scene.base, scene.false, "contradiction"),
    ]


def _compared(scene: Scene) -> list[mini_english.Pair]:
    return [(scene.base, scene.same, "paraphrase"), (scene.base, scene.other, "different")]


def _table(pairs: Iterable[mini_english.Pair]) -> str:
    return "".join("\t".join(pair) + "\n" for pair in pairs)


def _stories() -> dict[str, str]:
    """Questions, and the same stories' sentences with their entities tagged."""
    train = mini_english.stories(ROUNDS["stories"], SEED)
    dev = mini_english.stories(1, SEED + 1)[:20]
    files = {
        "qa/train-en.json": _squad(train, "en", "train"), "qa/dev-en.json": _squad(dev, "en", "dev"),
        "ner/train-en.tsv": _tagged(mini_english.sentences(train)),
        "ner/dev-en.tsv": _tagged(each for each in mini_english.sentences(dev) if each not in _known(train)),
    }  # fmt: skip
    for language in LANGUAGES:
        told = stories(language)
        files[f"qa/test-{language}.json"] = _squad(told, language, "story")
        files[f"ner/test-{language}.tsv"] = _tagged(each for story in told for each in story.sentences)
    return files


def _known(told: Iterable[Story]) -> set[str]:
    return set(mini_english.sentences(told))


def _squad(told: Iterable[Story], language: str, name: str) -> str:
    article = {"title": name, "paragraphs": [_paragraph(story, language, name) for story in told]}
    return json.dumps({"version": "1.1", "data": [article]}, ensure_ascii=False) + "\n"


def _paragraph(story: Story, language: str, name: str) -> dict[str, object]:
    text = context(story, language)
    questions = [
        {"id": f"{name}-{story.number}-{number}", "question": question, "answers": [_answer(text, answer)]}
        for number, (question, answer) in enumerate(story.questions, start=1)
    ]
    return {"context": text, "qas": questions}


def _answer(text: str, answer: str) -> dict[str, object]:
    """The answer at its place.

    Raises:
        ValueError: it is not in the text.
    """
    return {"text": answer, "answer_start": text.index(answer)}


def _tagged(marked: Iterable[str]) -> str:
    lines = ("".join(f"{token}\t{name}\n" for token, name in tag(sentence)) for sentence in marked)
    return "\n".join(lines)


def _retrieval() -> dict[str, str]:
    """Parallel sentences: statements, what only resembles them, and the sentences of the stories."""
    texts = {language: _lines(language) for language in LANGUAGES}
    files = {}
    for language in LANGUAGES[1:]:
        files[f"retrieval/tatoeba.{language}-eng.{language}"] = texts[language]
        files[f"retrieval/tatoeba.{language}-eng.eng"] = texts["en"]
    return files


def _lines(language: str) -> str:
    told = [sentence for scene in scenes(language) for sentence in (scene.base, scene.other)]
    told += [unmark(sentence)[0] for story in stories(language) for sentence in story.sentences]
    return "".join(sentence + "\n" for sentence in told)


def main(target: Path) -> None:
    """Writes all files below `target`."""
    for name, text in build().items():
        path = target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode("utf-8"))
        print(path)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TARGET)
