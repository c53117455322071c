"""A plan shares what is the same, and grows by what is added and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from adapterstilts.grid.availability import DataSearch, find_scopes
from adapterstilts.grid.config import GridConfig, load_config
from adapterstilts.grid.plan import EvalScope, Plan, expand

from .conftest import Write, plan_of

ROOT = Path(__file__).parents[2]


def plan(**given: object) -> Plan:
    grid_config = GridConfig.model_validate({"languages": "all", **given})
    return expand(grid_config, *find_scopes(grid_config, DataSearch()))


def digests(found: Plan) -> list[str]:
    return [job.digest for job in found.jobs()]


def test_xquad_and_mlqa_share_one_training() -> None:
    found = plan(targets=["xquad", "mlqa"])
    assert [job.task for job in found.trainings.values()] == ["squad_v1"]
    assert found.counts() == {"train": 1, "evaluate": 12 + 7}


def test_an_intermediate_adapter_serves_all_targets() -> None:
    found = plan(
        targets=["xnli", "panx", "tatoeba"], intermediate=["squad_v1"], compositions=["sequential", "stack"]
    )
    trained = [(each.composition, each.task) for each in found.trainings.values()]
    assert sorted(trained) == sorted(
        [("single", "mnli"), ("single", "squad_v1"), ("single", "panx"), ("single", "tatoeba")]
        + [(how, task) for how in ("sequential", "stack") for task in ("mnli", "panx")]
    )
    as_it_is = [cell for cell in found.cells if cell.target == "tatoeba" and cell.intermediate]
    assert [(cell.transfer, cell.training.task) for cell in as_it_is] == [("as it is", "squad_v1")]


def test_a_baseline_is_the_intermediate_adapter_of_the_same_task_and_settings() -> None:
    assert len(plan(targets=["xnli"], intermediate=["mnli"]).trainings) == 2
    apart = plan(
        targets=["xnli"], intermediate=["mnli"], overrides={"intermediate": {"limits": {"train": 100}}}
    )
    assert len(apart.trainings) == 3


def test_tasks_trained_together_go_by_one_name() -> None:
    found = plan(targets=["panx"], intermediate=["qqp+mnli", "mnli+qqp", "multitask"])
    assert [cell.intermediate for cell in found.cells] == ["", "mnli+qqp", "multitask"]
    assert len(found.trainings) == 1 + 2 + 2


def ways(found: Plan, how: str) -> list[list[str]]:
    """Of the cells with a composition, the trainings one after the other, as `composition task`."""

    def way(digest: str) -> list[str]:
        made = found.trainings[digest]
        return [*(each for need in made.needs for each in way(need)), f"{made.composition} {made.task}"]

    return [way(cell.training.digest) for cell in found.cells if cell.transfer == how]


def test_a_chain_is_trained_one_after_the_other() -> None:
    found = plan(
        targets=["xcopa"], trained_on={"xcopa": "siqa>copa"}, intermediate=["mnli", "csqa > squad_v1"]
    )
    assert ways(found, "baseline") == [["single siqa", "sequential copa"]]
    assert ways(found, "sequential") == [
        ["single mnli", "sequential siqa", "sequential copa"],
        ["single csqa", "sequential squad_v1", "sequential siqa", "sequential copa"],
    ]
    assert [cell.intermediate for cell in found.cells] == ["", "mnli", "csqa>squad_v1"]


def test_without_a_chain_nothing_changes() -> None:
    assert digests(plan(targets=["xcopa"])) == digests(plan(targets=["xcopa"], trained_on={"xcopa": "siqa"}))


def test_a_language_adapter_lies_under_everything_and_leaks_are_the_evaluations() -> None:
    reference = "single-mlm-{lang}-"
    configs = ["seq_bn", {"name": "seq_bn", "language_adapter": reference}]
    found = plan(targets=["panx"], intermediate=["mnli"], adapter_configs=configs, allow_leak=True)
    over = [each for each in found.jobs() if each.settings.language_adapter]
    assert {each.settings.language_adapter for each in over} == {reference}
    assert len(over) * 2 == len(list(found.jobs()))
    assert {cell.config for cell in found.cells} == {"seq_bn", f"seq_bn over {reference}"}
    assert {each.type for each in found.jobs() if each.settings.allow_leak} == {"evaluate"}
    assert over[0].settings.options()["language_adapter"] == reference


def test_what_came_later_leaves_older_digests_as_they_were() -> None:
    told = next(plan(targets=["panx"]).jobs()).settings
    assert not {"language_adapter", "allow_leak"} & told.model_dump().keys()


def test_sets_are_joined_with_the_target_among_them() -> None:
    found = plan(
        targets=["panx", "tatoeba"], intermediate=["mnli"], compositions=["fuse", "average"],
        adapter_sets=[["mnli", "squad_v1", "target"]],
    )  # fmt: skip
    base = next(cell.training for cell in found.cells if cell.target == "panx")
    fused = next(cell.training for cell in found.cells if cell.transfer == "fuse")
    assert [found.trainings[need].task for need in fused.needs] == ["mnli", "squad_v1", "panx"]
    assert fused.needs[-1] == base.digest
    assert fused.settings.config is None
    merged = [cell.transfer for cell in found.cells if cell.target == "tatoeba"]
    assert merged == ["baseline", "as it is", "average"]  # nothing is trained there, so nothing can be fused


def test_what_is_needed_stands_first_and_nothing_stands_twice() -> None:
    found = list(
        plan(
            targets=["xquad", "mlqa", "panx", "tatoeba"], intermediate=["mnli", "squad_v1"],
            compositions=["sequential", "fuse"], adapter_sets=[["mnli", "squad_v1"]], seeds=[1, 2],
        ).jobs()
    )  # fmt: skip
    seen: set[str] = set()
    for job in found:
        assert seen.issuperset(job.needs)
        assert job.digest not in seen
        seen.add(job.digest)


def test_counts_are_those_of_the_requests() -> None:
    found = plan(targets=["xquad", "tatoeba"], intermediate=["mnli", "panx"], seeds=[1, 2, 3])
    kinds = [job.type for job in found.jobs()]
    assert {kind: kinds.count(kind) for kind in ("train", "compose", "evaluate")} == dict(found.counts())


def test_the_most_informative_comes_first() -> None:
    found = list(
        plan(
            targets=["panx", "udpos"],
            intermediate=["mnli", "qqp"],
            compositions=["sequential", "stack"],
            seeds=[1, 2],
        ).jobs()
    )
    place = {job.digest: n for n, job in enumerate(found)}
    trained = [job for job in found if not job.language]
    assert [job.composition for job in trained[:2]] == ["single", "single"]
    last = max(place[each.digest] for each in trained if each.composition == "sequential" and each.seed == 1)
    assert last < min(place[each.digest] for each in trained if each.composition == "stack")
    assert last < min(place[each.digest] for each in trained if each.seed == 2)
    first = [job.language for job in found if job.needs == (found[0].digest,)]
    assert first[:5] == ["en", "zh", "ar", "de", "sw"]


def test_a_language_adds_its_evaluations_alone(write: Write) -> None:
    less = digests(plan_of(write(languages=["en", "de"])))
    more = plan_of(write(languages=["en", "de", "sw"]))
    added = [job for job in more.jobs() if job.digest not in set(less)]
    assert set(less) < set(digests(more))
    assert {job.language for job in added} == {"sw"}
    assert len(added) == 3 + 3


def test_a_seed_adds_its_own_jobs_alone(write: Write) -> None:
    less, more = digests(plan_of(write(seeds=[1]))), plan_of(write(seeds=[1, 2]))
    added = [job for job in more.jobs() if job.digest not in set(less)]
    assert set(less) < set(digests(more))
    assert {job.seed for job in added if not job.language} == {2}
    bare = [each for each in more.trainings.values() if each.settings.hyperparameters is None]
    assert len(bare) == 1  # the bare encoder has no seed


def test_a_target_adds_its_own_jobs_alone(write: Write) -> None:
    less = digests(plan_of(write()))
    more = plan_of(write(targets=["mini_paraphrase", "mini_retrieval", "mini_ner"]))
    added = [job for job in more.jobs() if job.digest not in set(less)]
    assert set(less) < set(digests(more))
    assert {job.task for job in added} == {"mini_ner"}


def test_a_setting_changes_the_digests_that_it_bears_on(write: Write) -> None:
    before = plan_of(write())
    after = plan_of(write(overrides={"mini_qa": {"hyperparameters": {"epochs": 9}}}))
    kept = set(digests(before)) & set(digests(after))
    tasks = {before.trainings[key].task for key in kept if key in before.trainings}
    assert tasks == {"mini_paraphrase", "mini_retrieval", "mini_nli"}
    assert (
        len(set(digests(before)) - kept) == 1 + 1 + 3 + 2
    )  # the adapter, what starts from it, their evaluations


def test_a_default_that_is_spelled_out_changes_nothing(write: Write) -> None:
    plain = digests(plan_of(write()))
    spelled = digests(plan_of(write(adapter_configs="seq_bn", seeds=[1], compositions="sequential")))
    assert plain == spelled


def test_digests_are_the_same_in_every_process(write: Write) -> None:
    path = write()
    code = (
        "from pathlib import Path\nfrom tests.grid.conftest import plan_of\n"
        f"print(*[job.digest for job in plan_of(Path({str(path)!r})).jobs()])"
    )
    for seed in ("1", "2"):
        shown = subprocess.run(
            [sys.executable, "-c", code], cwd=ROOT, env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert shown.stdout.split() == digests(plan_of(path))


def test_of_a_suite_those_are_left_out_whose_data_is_not_at_hand(tmp_path: Path) -> None:
    (tmp_path / "tatoeba").mkdir()
    for ending in ("deu", "eng"):
        (tmp_path / "tatoeba" / f"tatoeba.deu-eng.{ending}").write_text("a\nb\n", encoding="utf-8")
    grid_config = GridConfig.model_validate({"suite": "xtreme", "data_dir": tmp_path, "source": "folder"})
    found, skipped = find_scopes(grid_config, DataSearch())
    assert found == {"tatoeba": EvalScope("test", ("de",))}
    assert "xnli" in skipped


def test_the_paper_has_nine_tasks_and_all_of_them_together() -> None:
    grid_config = load_config("paper-mbert")
    found = expand(grid_config, *find_scopes(grid_config, DataSearch()))
    assert len({cell.intermediate for cell in found.cells} - {""}) == 10
    assert len({cell.target for cell in found.cells}) == 9


def test_what_is_named_twice_is_there_once() -> None:
    once = plan(targets=["panx"], intermediate=["mnli"], seeds=[1, 2])
    twice = plan(targets=["panx", "panx"], intermediate=["mnli", "mnli"], seeds=[1, 2, 1])
    assert twice.cells == once.cells
    assert digests(twice) == digests(once)


def test_revisions_of_a_backbone_are_apart() -> None:
    backbones = [{"name": "org/encoder", "revision": "a"}, {"name": "org/encoder", "revision": "b"}]
    found = plan(targets=["panx"], intermediate=["mnli"], backbones=backbones)
    assert [cell.backbone for cell in found.cells] == ["org/encoder@a"] * 2 + ["org/encoder@b"] * 2
    assert len({cell.row_key for cell in found.cells}) == 4


def test_no_adapter_is_joined_with_itself() -> None:
    joined = {"compositions": ["fuse"], "adapter_sets": [["mnli", "squad_v1", "target"]]}
    found = plan(targets=["xquad", "panx"], intermediate=["mnli", "squad_v1"], **joined)
    assert [(cell.target, cell.transfer) for cell in found.cells if cell.rank] == [("panx", "fuse")]
    assert found.duplicates == ("fuse mnli, squad_v1, target for xquad",)


def test_a_precision_that_is_asked_for_is_that_of_evaluations_too() -> None:
    usual, asked = plan(targets=["panx"]), plan(targets=["panx"], hyperparameters={"precision": "bf16"})
    assert asked.cells[0].settings.options()["hyperparameters"] == {"precision": "bf16"}
    assert "precision" not in usual.cells[0].settings.model_dump()  # and so its digest is what it was


def test_names_tell_jobs_apart() -> None:
    found = plan(
        targets=["xnli", "panx"],
        intermediate=["mnli", "squad_v1"],
        adapter_configs=["seq_bn", "lora"],
        seeds=[1, 2],
    )
    names = [job.name for job in found.jobs()]
    assert len(set(names)) == len(names)
    assert "sequential panx from mnli (me5-small, lora) seed 2" in names
