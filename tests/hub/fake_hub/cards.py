"""What a model card's metadata says, and whether the Hub would take it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from tests.hub.fake_hub.repos import Files

FRONT = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


def card_of(files: Files) -> dict[str, Any]:
    """The metadata of the card; nothing where there is none, or where it is broken."""
    text = files["README.md"].content.decode("utf-8", "replace") if "README.md" in files else ""
    found = FRONT.match(text)
    try:
        data = yaml.safe_load(found[1]) if found else {}
    except yaml.YAMLError:
        return {}
    return data if isinstance(data, dict) else {}


def listed(value: Any) -> list[Any]:
    """A card's value that may stand alone or in a list."""
    return value if isinstance(value, list) else [] if value is None else [value]


def tags_of(card: Mapping[str, Any], files: Files) -> list[str]:
    """The tags that the Hub makes of a card and of the files."""
    tags = [str(card[key]) for key in ("library_name", "pipeline_tag") if card.get(key)]
    tags += [str(tag) for tag in listed(card.get("tags"))]
    tags += [f"dataset:{name}" for name in listed(card.get("datasets"))]
    tags += [str(code) for code in listed(card.get("language"))]
    relation = card.get("base_model_relation", "adapter" if "adapter_config.json" in files else "finetune")
    for base in listed(card.get("base_model")):
        tags += [f"base_model:{base}", f"base_model:{relation}:{base}"]
    tags += [f"license:{name}" for name in listed(card.get("license"))]
    tags += ["safetensors"] if any(path.endswith(".safetensors") for path in files) else []
    return list(dict.fromkeys(tags))


# The identifiers that the Hub knows: https://huggingface.co/docs/hub/repositories-licenses
LICENCES = set(
    """
    apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
    bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
    c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
    cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 ecl-2.0
    epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl lgpl-2.1 lgpl-3.0 isc
    lppl-1.3c ms-pl mpl-2.0 odc-by odbl osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
    llama2 gemma unknown other
    """.split()
)
LANGUAGE = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,4})?|multilingual|code")
REPO_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


def check_card(text: str) -> tuple[list[str], list[str]]:
    """Errors and warnings on a card's metadata, after the rules of the Hub that matter to an adapter."""
    found = FRONT.match(text)
    if not found:
        return [], ["empty or missing yaml metadata in repo card"]
    try:
        card = yaml.safe_load(found[1])
    except yaml.YAMLError as error:
        return [f"YAML metadata is not valid: {error}"], []
    if not isinstance(card, dict):
        return ["YAML metadata must be an object"], []
    errors = [
        f'"license" must be a known id, not {v}' for v in listed(card.get("license")) if v not in LICENCES
    ]
    for key, pattern in (("language", LANGUAGE), ("base_model", REPO_ID), ("datasets", REPO_ID)):
        wrong = (each for each in listed(card.get(key)) if not pattern.fullmatch(str(each)))
        errors += [f'"{key}" with value "{each}" is not valid' for each in wrong]
    if "tags" in card and not all(isinstance(tag, str) for tag in listed(card["tags"])):
        errors.append('"tags" must be strings')
    return errors + list(_check_index(card.get("model-index", []))), []


def _check_index(index: Any) -> list[str]:
    """What is missing in the table of results."""
    if not isinstance(index, list):
        return ['"model-index" must be an array']
    errors = []
    for n, model in enumerate(index):
        results = model.get("results") if isinstance(model, dict) else None
        if not isinstance(results, list) or not model.get("name"):
            errors.append(f'"model-index[{n}]" must have a name and an array of results')
            continue
        for m, result in enumerate(results):
            errors += [f'"model-index[{n}].results[{m}].{each}' for each in _missing(result)]
    return errors


def _missing(result: Any) -> list[str]:
    if not isinstance(result, dict):
        return ['" must be an object']
    wanted = {"task": ("type",), "dataset": ("type", "name")}
    parts = {name: result.get(name) if isinstance(result.get(name), dict) else {} for name in wanted}
    errors = [
        f'{name}.{key}" is required' for name in wanted for key in wanted[name] if not parts[name].get(key)
    ]
    metrics = result.get("metrics")
    if not isinstance(metrics, list) or not metrics:
        return [*errors, 'metrics" is required']
    fine = (isinstance(each, dict) and each.get("type") and "value" in each for each in metrics)
    return errors if all(fine) else [*errors, 'metrics" need a type and a value']
