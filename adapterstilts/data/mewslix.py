"""Reads Mewsli-X: mentions in news seek the entity that they name among a million descriptions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from adapterstilts.data import converters
from adapterstilts.data.converters import MalformedError
from adapterstilts.data.items import Item, located
from adapterstilts.data.rows import RetrievalRow
from adapterstilts.data.text import json_lines
from adapterstilts.errors import DataError, MissingDataError
from adapterstilts.tasks.spec import Task

ENTITIES = "candidate_set_entities.jsonl"  # beside the mentions, or in the folder above


def read_mewslix(path: Path, task: Task, language: str) -> Iterator[Item]:
    """Reads the mentions of one language, and all entities (Ruder et al. 2021, arXiv 2104.07412, appendix).

    The query is, as XTREME-R has it, the mention, a colon, and the sentence around it with the mention in
    braces; the candidate is the entity's description, in whatever language it is.

    Yields:
        The mentions one by one, then the entities.
    """
    folder = next((parent for parent in path.parents[:2] if (parent / ENTITIES).is_file()), None)
    if folder is None:
        raise DataError(f"the entities, {ENTITIES}, are neither in its folder nor in the parent folder", path)
    sought: dict[str, int] = {}
    languages: set[str] = set()
    for line, record in json_lines(path):
        try:
            languages.add(_language(record))
            for query in _mentions(record, task) if _language(record) == language else ():
                sought |= {entity: line for entity in query.gold if entity not in sought}
                yield (query,)
        except MalformedError as error:
            raise located(error, path, line) from None
    if language not in languages:
        raise MissingDataError(f"{path}: no mention in '{language}' (it has {', '.join(sorted(languages))})")
    for line, record in json_lines(folder / ENTITIES):
        try:
            text = " ".join(_spans(record, converters.text_of(record, "description")))
            entity = RetrievalRow(converters.text_of(record, "entity_id"), _plain(text), "candidate")
        except MalformedError as error:
            raise located(error, folder / ENTITIES, line) from None
        sought.pop(entity.id, None)
        yield (entity,)
    for entity_id, line in sought.items():
        raise DataError(f"the gold entity '{entity_id}' is not in {folder / ENTITIES}", path, line)


def _language(record: Mapping[str, Any]) -> str:
    """Returns the language of an article."""
    if not isinstance(record.get("context"), dict) or not isinstance(record.get("mentions"), list):
        raise MalformedError("not in Mewsli-X's form: it should have 'context' and 'mentions'")
    return str(record["context"].get("language"))


def _mentions(record: Mapping[str, Any], task: Task) -> Iterator[RetrievalRow]:
    """Yields the mentions of one article."""
    context, mentions = record["context"], record["mentions"]
    text = converters.text_of(context, "text")
    if not text:
        raise MalformedError("the article has no text: restore it with the release's get-mewsli-x.sh")
    for mention in mentions:
        row_id, entity = converters.text_of(mention, "example_id"), converters.text_of(mention, "entity_id")
        if bool(entity) == task.hidden:
            problem = "an entity, though others have none" if entity else "no entity: its label is hidden"
            raise MalformedError(f"mention {row_id} has {problem}", hidden=True)
        yield RetrievalRow(row_id, _in_sentence(context, mention, text), "query", (entity,) if entity else ())


def _in_sentence(context: Mapping[str, Any], mention: Mapping[str, Any], text: str) -> str:
    """Returns the mention, and its sentence with the mention in braces."""
    start, end = _span(mention.get("mention_span"), text)
    name = text[start:end]
    if name != mention["mention_span"].get("text"):
        raise MalformedError(f"mention {mention['example_id']} is not at characters {start} to {end}")
    for span in _sentence_spans(context):
        begin, stop = _span(span, text)
        if begin <= start and end <= stop:
            return _plain(f"{name}: {text[begin:start]} {{ {name} }} {text[end:stop]}")
    raise MalformedError(f"mention {mention['example_id']} is in no sentence")


def _spans(record: Mapping[str, Any], text: str) -> list[str]:
    return [text[slice(*_span(span, text))] for span in _sentence_spans(record)]


def _sentence_spans(record: Mapping[str, Any]) -> list[Any]:
    spans = record.get("sentence_spans") or []
    if not isinstance(spans, list):
        raise MalformedError(f"'sentence_spans' should be a list, not {converters.shown(spans)}")
    return spans


def _span(value: Any, text: str) -> tuple[int, int]:
    start, end = (value.get("start"), value.get("end")) if isinstance(value, dict) else (None, None)
    if type(start) is not int or type(end) is not int or not 0 <= start < end <= len(text):
        raise MalformedError(
            f"{converters.shown(value)} is not a span of the text, which has {len(text)} characters"
        )
    return start, end


def _plain(text: str) -> str:
    """Returns the text on one line, with single spaces."""
    return " ".join(text.split())
