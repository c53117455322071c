"""What the verbs of the grid read: the plan of a recipe, what was recorded, and times."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from adapterstilts.cli.console import note
from adapterstilts.errors import ConfigError, StiltsError, StoreError, unknown

if TYPE_CHECKING:
    from adapterstilts.grid.config import GridConfig, Problem
    from adapterstilts.grid.estimate import Estimator
    from adapterstilts.grid.job_spec import JobSpec
    from adapterstilts.grid.plan import Plan
    from adapterstilts.grid.records import Records
    from adapterstilts.model.configs import AdapterSpec

FEW = 100  # runs that are looked at for whose version made them
WORTH = 120.0  # estimated seconds of work above which a calibration is worth its time
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def read_plan(grid_config: str) -> Plan:
    """The plan of a recipe, with the data that is at hand."""
    from adapterstilts.grid.availability import plan_of

    return plan_of(_load(grid_config))


def _load(grid_config: str) -> GridConfig:
    from adapterstilts.grid.availability import about_ranges
    from adapterstilts.grid.config import load

    return load(grid_config, about_ranges, _about_models, _about_encodings)


def _about_models(grid_config: GridConfig) -> Iterator[Problem]:
    """What is wrong with adapter configs and the names of backbones."""
    from adapterstilts.model.backbone import HUB_ID, is_folder, locate
    from adapterstilts.model.configs import adapter_config
    from adapterstilts.model.known_backbones import NAMES

    for n, config in enumerate(grid_config.configs):
        try:
            _check_joining(grid_config, adapter_config(config.name, config.set))
        except (StiltsError, OSError) as error:
            yield ("configs", n), str(error)
    for n, backbone in enumerate(grid_config.backbones):
        name = backbone.name
        try:
            folder = is_folder(name)
            if folder:
                locate(name, backbone.revision)
        except (StiltsError, OSError) as error:
            yield ("backbones", n), str(error)
            continue
        if not folder and not (name in NAMES or ("/" in name and HUB_ID.fullmatch(name))):
            yield ("backbones", n), f"{unknown('backbone', name, NAMES)}, a Hub id (owner/name), or a folder"


def _check_joining(grid_config: GridConfig, spec: AdapterSpec) -> None:
    """Refuses a config whose adapters one of the compositions cannot join; only a mean does without training.

    Raises:
        AdapterError: with what works instead.
    """
    from adapterstilts.composition import make
    from adapterstilts.grid.plan import JOINT
    from adapterstilts.model.compatibility import check_composition
    from adapterstilts.tasks import registry

    trains = any(registry.get(name).trained_on for name in grid_config.all_targets)
    for name in grid_config.compositions:
        number = 2 if name in JOINT else 1
        used = grid_config.sets if name in JOINT else grid_config.intermediate
        if used and name != "single" and (trains or name == "average"):
            composition = make(name, tuple(map(str, range(number))))
            check_composition(composition, [spec] * number, None if name in JOINT else spec)


def _about_encodings(grid_config: GridConfig) -> Iterator[Problem]:
    """What is wrong with how text is encoded; only recipes that say something of it wait for the kinds."""
    parts = {"": grid_config, **grid_config.overrides}
    if not any(part.encoding for part in parts.values()):
        return
    from adapterstilts.grid.config import kinds_under
    from adapterstilts.kinds.registry import check_encoding

    for name, part in parts.items():
        for key, value in part.encoding.items():
            try:
                check_encoding(kinds_under(grid_config, name), {key: value})
            except ConfigError as error:
                yield (*(("overrides", name) if name else ()), "encoding", key), str(error)


def ever_needed(grid_config: str) -> Iterator[JobSpec]:
    """The jobs of a recipe, also those whose data is not at hand now."""
    from adapterstilts.grid.availability import plan_of, with_all_data

    yield from read_plan(grid_config).jobs()
    for whole in with_all_data(_load(grid_config)):
        yield from plan_of(whole).jobs()


def records_at(store: str, made: bool = False) -> Records:
    """The records of a store.

    Args:
        made: it need not be there yet; else that is said.

    Raises:
        ConfigError: it is a file, or memory that ends with this command.
    """
    from adapterstilts.grid.remote_records import is_url, open_records

    if store.startswith("memory://"):
        raise ConfigError(
            f"{store} is gone when this command ends: name a folder, or a bucket (s3://, gs://)"
        )
    if not is_url(store):
        if Path(store).exists() and not Path(store).is_dir():
            raise ConfigError(f"the store {store} is a file: name a folder")
        if not made and not Path(store).exists():
            note(f"there is no store {store} yet (--store names another one)")
    return open_records(store)


def note_foreign(records: Records) -> None:
    """Says so where the first results of a store, of which none counts, are of another version."""
    from adapterstilts.store import Damaged, Store

    first = islice(Store(records.store).scan(quick=True), FEW)
    reasons = [each.reason for each in first if isinstance(each, Damaged) and each.foreign]
    if reasons:
        note(
            f"results in {records.store} are not used: {reasons[0]} (`runs` lists them; they are not touched)"
        )


def calibrated(plan: Plan, records: Records, left: Iterable[JobSpec], wanted: bool | None) -> Estimator:
    """Estimates, after a calibration if one is requested or needed.

    Args:
        left: Jobs to estimate.
        wanted: Whether to time real steps. None times a few if a backbone has no known rates, its jobs take
            longer than `WORTH`, and timing needs no download; a failure then leaves the estimate rough.
    """
    estimator = estimator_of(records)
    if wanted is False:
        return estimator
    if wanted:
        from adapterstilts.grid.calibrate import calibrate

        calibrate(plan, records, note)
        return estimator_of(records)
    long = [name for name, seconds in estimator.unknown_backbones(left).items() if seconds > WORTH]
    if not any(_timeable(plan, name) for name in long):
        return estimator
    from adapterstilts.grid.calibrate import QUICK, calibrate

    note(
        "no speed is known for this machine yet: timing a few steps of each kind, once, usually in less "
        "than a minute (--no-calibrate skips this)"
    )
    try:
        calibrate(plan, records, note, QUICK, long)
    except (OSError, StoreError) as error:
        note(f"the estimate stays rough: the measured rates cannot be stored ({error})")
    return estimator_of(records)


def _timeable(plan: Plan, backbone: str) -> bool:
    """Whether some training of a backbone can be timed without a download."""
    from adapterstilts.grid.availability import on_this_machine

    jobs = (
        each
        for each in plan.trainings.values()
        if each.settings.backbone == backbone and each.settings.hyperparameters
    )
    return any(map(on_this_machine, jobs))


def estimator_of(records: Records) -> Estimator:
    """Estimates by what the store has recorded, and by the last calibration."""
    from adapterstilts.grid.estimate import Estimator, read_rates

    return Estimator(records.cost_groups(), read_rates(records.root))


def seconds_of(text: str) -> float:
    """Seconds of `8h`, `30m`, `2d` or `90s`.

    Raises:
        ConfigError: it is none of these.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([smhd])", text.strip())
    if not found:
        raise ConfigError(f"--budget wants a time such as 8h, 30m or 2d, not '{text}'")
    return float(found[1]) * UNITS[found[2]]
