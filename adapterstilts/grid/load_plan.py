"""Reads a grid config with all checks, and plans it for the data that was found."""

from __future__ import annotations

from collections.abc import Iterator

from adapterstilts.composition import make
from adapterstilts.errors import ConfigError, StiltsError, unknown
from adapterstilts.grid.availability import DataSearch, build_plan, check_files
from adapterstilts.grid.config import GridConfig, Problem, affected_kinds, load_config
from adapterstilts.grid.job_spec import JobSpec
from adapterstilts.grid.plan import SET_COMPOSITIONS, Plan
from adapterstilts.model.backbone import HUB_ID, BackboneFiles
from adapterstilts.model.compatibility import check_composition
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.model.known_backbones import NAMES
from adapterstilts.tasks.lookup import get_task


def load_plan(grid: str, search: DataSearch | None = None) -> Plan:
    """Returns the plan of a grid.

    Args:
        grid: Name of a bundled grid config, or path of a YAML file.
        search: Search for data, to be used again for the same grid. A new one by default.
    """
    return build_plan(_load_checked(grid), search or DataSearch())


def possible_jobs(grid: str) -> Iterator[JobSpec]:
    """Yields the jobs of a grid, including those whose data is missing at present.

    Their results stay in use: data on a disk that is not mounted comes back.
    """
    grid_config, search = _load_checked(grid), DataSearch()
    for variant in (grid_config, *_with_all_languages(grid_config)):
        yield from build_plan(variant, search).jobs()


def _with_all_languages(grid_config: GridConfig) -> Iterator[GridConfig]:
    """Yields the grid config as if all languages had data: once with test splits, once with dev splits.

    Explicit languages and splits stay as they are.
    """
    languages = {name: grid_config.languages_for(name) for name in grid_config.all_targets}
    languages = {name: "all" if choice == "available" else choice for name, choice in languages.items()}
    # Either split may have been the available one when a result was computed
    for split in ("test", "dev"):
        splits = {name: grid_config.split_for(name) or split for name in grid_config.all_targets}
        yield grid_config.model_copy(update={"languages": languages, "split": splits})


def _load_checked(grid: str) -> GridConfig:
    return load_config(grid, check_files, _check_models, _check_encodings)


def _check_models(grid_config: GridConfig) -> Iterator[Problem]:
    """Yields problems of adapter configs and backbones."""
    for n, config in enumerate(grid_config.adapter_configs):
        try:
            _check_compositions(grid_config, AdapterSpec.load(config.name, config.settings))
        except (StiltsError, OSError) as error:
            yield ("adapter_configs", n), str(error)
    for n, backbone in enumerate(grid_config.backbones):
        name = backbone.name
        try:
            if BackboneFiles.is_folder(name):
                BackboneFiles.locate(name, backbone.revision)
            elif name not in NAMES and not ("/" in name and HUB_ID.fullmatch(name)):
                raise ConfigError(f"{unknown('backbone', name, NAMES)}, a Hub id (OWNER/NAME), or a folder")
        except (StiltsError, OSError) as error:
            yield ("backbones", n), str(error)


def _check_compositions(grid_config: GridConfig, spec: AdapterSpec) -> None:
    """Checks that the grid's compositions can combine adapters of this config.

    Raises:
        AdapterError: A composition cannot; the message names what works instead.
    """
    # A target without training data only ever gets averages; the plan skips its other compositions
    trainable = any(get_task(name).trained_on for name in grid_config.all_targets)
    for name in grid_config.compositions:
        combines_sets = name in SET_COMPOSITIONS
        sources = grid_config.adapter_sets if combines_sets else grid_config.intermediate
        if sources and name != "single" and (trainable or name == "average"):
            # All adapters of a set have the same config, so two represent a set of any size
            number = 2 if combines_sets else 1
            composition = make(name, tuple(map(str, range(number))))
            check_composition(composition, [spec] * number, None if combines_sets else spec)


def _check_encodings(grid_config: GridConfig) -> Iterator[Problem]:
    """Yields problems of text encodings."""
    sections = {"": grid_config, **grid_config.overrides}
    # The kinds take a second to import, so only grid configs with an encoding wait for them
    if not any(section.encoding for section in sections.values()):
        return
    from adapterstilts.kinds.registry import check_encoding

    for name, section in sections.items():
        for key, value in section.encoding.items():
            try:
                check_encoding(affected_kinds(grid_config, name), {key: value})
            except ConfigError as error:
                yield (*(("overrides", name) if name else ()), "encoding", key), str(error)
