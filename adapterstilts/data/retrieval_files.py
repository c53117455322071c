"""Reads release files of retrieval targets: aligned sentences, texts to mine, answers in sentences."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from adapterstilts.data import converters
from adapterstilts.data.converters import MalformedError
from adapterstilts.data.file_bytes import opened
from adapterstilts.data.items import HiddenLabelsError, Item, located
from adapterstilts.data.rows import RetrievalRow
from adapterstilts.data.squad import answers_of, listed, paragraphs
from adapterstilts.data.text import numbered_lines
from adapterstilts.errors import DataError
from adapterstilts.tasks.spec import Task

SURE = 20  # so many sentences are not in order of the alphabet by chance
CLOSING = "\"'”’»)\\]」』）》"
# The end of a sentence: full stop, question or exclamation mark before white space, but not after a single
# letter (an initial) or one or two digits (a date); the full-width ones need no white space.
SENTENCE_END = re.compile(rf"((?:(?<!\b\w)(?<!\b\d\d)\.|[!?…؟।॥])[{CLOSING}]*)\s+|([。！？][{CLOSING}]*)\s*")


def read_tatoeba(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Two files aligned by line: `path` has the queries, its companion the candidates.

    The companion's ending is what follows the last hyphen of the name: `tatoeba.deu-eng.deu` goes with
    `tatoeba.deu-eng.eng`.

    Yields:
        For each line the query and its gold candidate.
    """
    name = _plain(path).stem.rpartition("-")[2]
    path_beside = _beside(path, name)
    if path_beside == path or not path_beside.is_file():
        raise DataError(f"the aligned file with the other side, {path_beside}, does not exist", path)
    queries, candidates = list(numbered_lines(path)), list(numbered_lines(path_beside))
    if len(queries) != len(candidates):
        raise DataError(
            f"{len(queries)} lines, but {path_beside} has {len(candidates)}: they are not aligned", path
        )
    texts = [text for _, text in candidates]
    if not task.hidden and len(texts) >= SURE and texts in (sorted(texts), sorted(texts, key=str.casefold)):
        raise HiddenLabelsError("its sentences are sorted, which hides whose translations they are "
            "(XTREME's download sorts them): take LASER's files", path_beside)  # fmt: skip
    for (number, query), (_, candidate) in zip(queries, candidates, strict=True):
        for file, text in ((path, query), (path_beside, candidate)):
            if not text.strip():
                raise DataError("an empty sentence", file, number)
        query_row, candidate_row = aligned_texts(str(number), query, candidate)
        yield (replace(query_row, gold=()) if task.hidden else query_row), candidate_row


def _plain(path: Path) -> Path:
    """Returns the path of a packed file without `.gz`."""
    return path.with_suffix("") if path.suffix == ".gz" else path


def _beside(path: Path, ending: str) -> Path:
    """Returns the file of the same name with another ending; packed if only that exists."""
    path_beside = _plain(path).with_suffix(f".{ending}")
    packed = path_beside.with_name(f"{path_beside.name}.gz")
    return packed if packed.is_file() and not path_beside.is_file() else path_beside


def aligned_texts(number: str, query: str, candidate: str) -> tuple[RetrievalRow, RetrievalRow]:
    """Returns the two rows of one aligned pair: the query, and its gold candidate in English."""
    gold = f"en-{number}"
    return RetrievalRow(number, query, "query", (gold,)), RetrievalRow(gold, candidate, "candidate")


class _Gold(NamedTuple):
    line: int
    query: str
    candidate: str


def read_bucc(path: Path, task: Task, language: str) -> Iterator[Item]:
    """BUCC: id and sentence of each side, tab-separated, and the pairs of ids that are translations.

    `path` has the queries (`zh-en.dev.zh`); `zh-en.dev.en` beside it has the candidates and `zh-en.dev.gold`
    the pairs. Most queries have no gold.

    Yields:
        The queries one by one, then the candidates.

    Raises:
        HiddenLabelsError: There are no gold pairs (XTREME's download removes those of the test files).
        DataError: An id that repeats, or a gold id that is in neither text.
    """
    english, gold = _beside(path, "en"), _beside(path, "gold")
    if english == path or not english.is_file():
        raise DataError(f"the English side, {english}, does not exist", path)
    if not gold.is_file() and not task.hidden:
        raise HiddenLabelsError(f"the gold pairs, {gold}, do not exist, so nothing can be scored", path)
    lines = () if task.hidden else numbered_lines(gold)
    pairs = [_Gold(line, *_two(text, gold, line)) for line, text in lines]
    candidates: dict[str, list[str]] = {}
    for pair in pairs:
        candidates.setdefault(pair.query, []).append(pair.candidate)
    ids_by_side: list[set[str]] = []
    for file, side in ((path, "query"), (english, "candidate")):
        ids_by_side.append(set())
        for row_id, text in _identified(file, ids_by_side[-1]):
            gold_ids = tuple(dict.fromkeys(candidates.get(row_id, ()))) if side == "query" else ()
            yield (RetrievalRow(row_id, text, side, gold_ids),)
    for pair in pairs:
        for row_id, ids, file in zip((pair.query, pair.candidate), ids_by_side, (path, english), strict=True):
            if row_id not in ids:
                raise DataError(f"the gold id '{row_id}' is not in {file}", gold, pair.line)


def _identified(path: Path, ids: set[str]) -> Iterator[tuple[str, str]]:
    """Ids and sentences of one side; the ids are added to `seen`."""
    for line, text in numbered_lines(path):
        row_id, sentence = _two(text, path, line)
        if row_id in ids:
            raise DataError(f"the id '{row_id}' occurs twice in the file", path, line)
        ids.add(row_id)
        yield row_id, sentence


def _two(text: str, path: Path, line: int) -> tuple[str, str]:
    fields = text.split("\t")
    if len(fields) != 2:
        raise DataError(f"{len(fields)} tab-separated columns, not 2", path, line)
    return fields[0].strip(), fields[1].strip()


def read_lareqa(path: Path, task: Task, language: str) -> Iterator[Item]:
    """LAReQA (Roy et al. 2020, arXiv 2004.05484): a question seeks the sentences that hold its answer.

    The candidates are all sentences of all languages: of `path` and of the files beside it whose name differs
    in the language's code only. Gold is, in each of them, the sentence of the same question's paragraph in
    which the answer begins, and any that equals it there. Sentences are those of XQuAD-R's "sentence_breaks";
    a file without them (XQuAD) is divided at closing marks (`SENTENCE_END`), which Thai has none of.

    A candidate is its sentence alone unless `Encoding.context` adds the paragraph, which XTREME-R's dual
    encoder learns to read; pooled embeddings, which do not, found 18 points less with it (mAP@20 of English
    questions, multilingual E5).

    Yields:
        The candidates one by one, then the questions; none for one whose answer begins in no sentence.
    """
    gold: dict[str, list[str]] = {}
    questions: list[tuple[str, str]] = []
    for code, file in _pool(path, task, language).items():
        number = 0
        for part in _answered(file, task, code):
            yield from ((row,) for row in part.sentences)
            number += len(part.questions)
            for question in part.questions:
                gold.setdefault(question.id, []).extend(question.gold)
                if code == language:
                    questions.append((question.id, question.text))
                    if not question.gold:
                        gold[question.id].append("")
        if not number:
            raise DataError("the file holds no question", file)
    for row_id, text in questions:
        gold_ids = tuple(gold[row_id])
        yield () if "" in gold_ids else (RetrievalRow(row_id, text, "query", gold_ids),)


class _Part(NamedTuple):
    """A paragraph: its sentences, and its questions with their gold sentences."""

    sentences: list[RetrievalRow]
    questions: list[RetrievalRow]


def _answered(path: Path, task: Task, code: str) -> Iterator[_Part]:
    for number, (place, paragraph) in enumerate(paragraphs(path), 1):
        try:
            yield _part(paragraph, task, f"{code}-{number}")
        except MalformedError as error:
            raise located(error, place, None) from None


def _part(paragraph: Mapping[str, Any], task: Task, name: str) -> _Part:
    context = converters.text_of(paragraph, "context")
    breaks = _breaks(paragraph, context)
    sentences = [
        RetrievalRow(f"{name}-{n}", context[start:end], "candidate", context=context)
        for n, (start, end) in enumerate(breaks, 1)
    ]
    questions = []
    for question in listed(paragraph, "qas"):
        row = converters.question_row({"context": context, **question}, task, answers_of(question, task))
        begin = row.answers[0].start if row.answers else -1
        holds = next((context[start:end] for start, end in breaks if start <= begin < end), None)
        gold_ids = tuple(sentence.id for sentence in sentences if sentence.text == holds)
        questions.append(RetrievalRow(row.id, row.question, "query", gold_ids))
    return _Part(sentences, questions)


def _breaks(paragraph: Mapping[str, Any], context: str) -> list[tuple[int, int]]:
    """First and one past the last character of each sentence."""
    values = paragraph.get("sentence_breaks")
    if values is None:
        return _sentence_breaks(context)
    valid = isinstance(values, list) and all(
        isinstance(span, list) and len(span) == 2 and all(type(at) is int for at in span) for span in values
    )
    if not valid or not all(0 <= start < end <= len(context) for start, end in values):
        raise MalformedError("'sentence_breaks' should be a list of [start, end] within the context")
    return [(start, end) for start, end in values]


def _sentence_breaks(text: str) -> list[tuple[int, int]]:
    """Returns sentence spans by `SENTENCE_END`, and never before a small letter (an abbreviation)."""
    spans, start = [], 0
    for end in SENTENCE_END.finditer(text):
        if not text[end.end() : end.end() + 1].islower() and end.end() < len(text):
            spans.append((start, end.end(1) if end[1] else end.end(2)))
            start = end.end()
    return [*spans, (start, len(text.rstrip()))] if text.strip() else []


def _pool(path: Path, task: Task, language: str) -> dict[str, Path]:
    """Returns the file of each language, the question's language first."""
    files = {language: path}
    for code in task.languages:
        name = re.sub(rf"(?<![a-z]){language}(?![a-z])", code, path.name)
        if name != path.name and path.with_name(name).is_file():
            files[code] = path.with_name(name)
    return files


def _pool_origin(path: Path, task: Task, language: str) -> dict[str, Any]:
    """Returns the source of the sentences of each language in the pool: the release, or our rule."""
    pool = _pool(path, task, language)
    return {"sentences": {code: "release" if _has_breaks(file) else "rule" for code, file in pool.items()}}


def _has_breaks(path: Path) -> bool:
    with opened(path) as file:
        return b'"sentence_breaks"' in file.read()


# Functions that return more about a form's origin than the file's name.
ORIGINS: Mapping[str, Callable[[Path, Task, str], dict[str, Any]]] = {"lareqa": _pool_origin}
