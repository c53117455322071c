"""Makes the English training data of the bundled mini tasks from templates with slots such as `<p>`."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterable

from mini_tables import TABLES, Story, blocks, story, unmark, words

Pair = tuple[str, str, str]  # first sentence, second sentence, label
Fill = dict[str, str]

SLOT = re.compile(r"<(\w+)>")

# Slots and the kind of word that fills them: two different ones, one in a pair, one in a story.
PAIRED = {
    ("c", "d"): "cities", ("w", "v"): "weekdays", ("o", "o2"): "objects", ("col", "col2"): "colours",
    ("food", "food2"): "foods", ("lang", "lang2"): "languages", ("job", "job2"): "jobs",
}  # fmt: skip
SINGLE = {
    "n": "few", "m": "many", "s": "months", "place": "places", "building": "buildings", "dish": "dishes", "h": "hours",
}  # fmt: skip
TOLD = {
    "country": "countries", "n": "numbers", "month": "months", "day": "weekdays", "job": "jobs", "animal": "animals",
    "product": "products", "furniture": "furniture", "instrument": "instruments",
}  # fmt: skip

# What the slots are filled with. None of these names and places stands in the test sets: a test checks it.
WORDS = words()


def nli(rounds: int, seed: int) -> list[Pair]:
    """Premises and hypotheses.

    Each hypothesis comes three times, once with each label, so that it says nothing by itself. A block of
    the table is two hypotheses that exclude each other, a premise for either and one that leaves both open;
    each premise entails in one round and contradicts in another. In every third round the neutral premise is
    one that tells something else about the same people.
    """
    table, rng = blocks(TABLES / "train" / "nli.txt"), random.Random(seed)
    found: list[Pair] = []
    for turn in range(rounds):
        for number, (one, two, for_one, for_two, neither) in enumerate(table):
            swapped = (turn + number) % 2
            hypothesis, yes, no = (two, for_two, for_one) if swapped else (one, for_one, for_two)
            far = turn % 3 == 2 and "<p>" in hypothesis
            vague = _unrelated([block[2] for block in table], number, hypothesis, rng) if far else neither
            labelled = ((yes, "entailment"), (vague, "neutral"), (no, "contradiction"))
            _add(found, [(premise, hypothesis, label) for premise, label in labelled], rng)
    rng.shuffle(found)
    return found


def _unrelated(premises: list[str], number: int, hypothesis: str, rng: random.Random) -> str:
    """A premise of a block far from this one that shares with the hypothesis nothing but its people."""
    shared = set(SLOT.findall(hypothesis)) - {"p", "q"}
    far = [
        each
        for other, each in enumerate(premises)
        if abs(other - number) > 5 and "<p>" in each and not shared & set(SLOT.findall(each))
    ]
    return rng.choice(far)


def _add(found: list[Pair], templates: list[Pair], rng: random.Random) -> None:
    """Adds pairs with all slots filled alike, drawing again until none of them is there already."""
    while True:
        fill = pair_fill(rng)
        pairs = [(fill_in(first, fill), fill_in(second, fill), label) for first, second, label in templates]
        if not {frozenset(pair[:2]) for pair in pairs} & {frozenset(pair[:2]) for pair in found}:
            break
    found += pairs


def paraphrase(rounds: int, seed: int) -> list[Pair]:
    """Each statement with its paraphrase and with a sentence of nearly the same words and another meaning."""
    table, rng = blocks(TABLES / "train" / "paraphrase.txt"), random.Random(seed)
    found: list[Pair] = []
    for _ in range(rounds):
        for base, same, other in table:
            forwards, backwards = (base, same, "paraphrase"), (other, base, "different")
            if rng.random() < 0.5:
                forwards, backwards = (same, base, "paraphrase"), (base, other, "different")
            _add(found, [forwards, backwards], rng)
    rng.shuffle(found)
    return found


def stories(rounds: int, seed: int) -> list[Story]:
    """English stories; the questions of one story are about its own slots."""
    rng = random.Random(seed)
    found: list[Story] = []
    for _ in range(rounds):
        for lines in blocks(TABLES / "train" / "stories.txt"):
            fill = story_fill(rng)
            found.append(story(f"{len(found) + 1:03}", [fill_in(line, fill) for line in lines]))
    rng.shuffle(found)
    return found


def pair_fill(rng: random.Random) -> Fill:
    """Values for the slots of one block of sentence pairs; two of a kind are never the same."""
    plural = [each for each in WORDS["animals"] if each not in ("goose", "wolf")]  # no plural in -s
    fill = _two(rng, ("p", "q"), WORDS["men"] + WORDS["women"]) | _two(rng, ("a", "b"), plural)
    for slots, kind in PAIRED.items():
        fill |= _two(rng, slots, WORDS[kind])
    fill |= _two(rng, ("y", "y2"), [str(year) for year in range(1701, 1990, 7)])
    return fill | {slot: rng.choice(WORDS[kind]) for slot, kind in SINGLE.items()}


def story_fill(rng: random.Random) -> Fill:
    """Values for the slots of one story."""
    first = _two(rng, ("woman", "woman2"), WORDS["women"]) | {"man": rng.choice(WORDS["men"])}
    family = rng.sample(WORDS["family names"], 3)
    fill = {slot: f"{name} {family[n]}" for n, (slot, name) in enumerate(first.items())}
    fill |= _two(rng, ("city", "city2"), WORDS["cities"]) | _two(rng, ("food", "food2"), WORDS["foods"])
    fill |= {slot: rng.choice(WORDS[kind]) for slot, kind in TOLD.items()}
    fill["year"] = str(rng.randrange(1901, 2020))
    title = f"{rng.choice(WORDS['adjectives'])} {rng.choice(WORDS['nouns'])}"
    return fill | _organisations(rng, title, fill["city2"])


def _organisations(rng: random.Random, title: str, city: str) -> Fill:
    """Names of organisations of several shapes; some hold the name of a city."""
    return {
        "company": rng.choice((title, f"{title} Motors", f"{title} Press", f"{title.split()[1]} Brothers")),
        "bank": rng.choice((f"{title} Bank", f"Bank of {city}", f"{city} Savings Bank")),
        "museum": rng.choice((f"{title} Museum", f"Museum of {city}", f"{title.split()[1]} Gallery")),
        "hospital": rng.choice((f"{title} Hospital", f"{city} General Hospital", f"{title} Clinic")),
        "school": rng.choice((f"{title} School", f"University of {city}", f"{title} College")),
        "club": rng.choice((f"{city} Rovers", f"Sporting {title.split()[1]}", f"{title} Athletic Club")),
        "zoo": rng.choice((f"{title} Animal Park", f"{city} Zoo")),
    }


def _two(rng: random.Random, names: tuple[str, str], values: Iterable[str]) -> Fill:
    return dict(zip(names, rng.sample(sorted(values), 2), strict=True))


def fill_in(text: str, fill: Fill) -> str:
    """The text with its slots filled.

    Raises:
        KeyError: a slot that there is no value for.
    """
    return SLOT.sub(lambda slot: fill[slot[1]], text)


def sentences(made: Iterable[Story]) -> list[str]:
    """The marked sentences of stories, each once."""
    return list(dict.fromkeys(each for one in made for each in one.sentences if unmark(each)[0]))


def split(
    size: int, make: Callable[[int, int], list[Pair]], rounds: int, seed: int
) -> tuple[list[Pair], list[Pair]]:
    """Training pairs and `size` development pairs with other fillings of the same templates."""
    train, dev = make(rounds, seed), make(1, seed + 1)
    known = {frozenset(pair[:2]) for pair in train}  # the two sentences may be turned round
    return train, [pair for pair in dev if frozenset(pair[:2]) not in known][:size]
