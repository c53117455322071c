"""A plan shares equal jobs, and a larger grid adds only the jobs that are new."""

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


def make_plan(**settings: object) -> Plan:
    grid_config = GridConfig.model_validate({"languages": "all", **settings})
    return expand(grid_config, *find_scopes(grid_config, DataSearch()))


def digests(plan: Plan) -> list[str]:
    return [job.digest for job in plan.jobs()]


def test_xquad_and_mlqa_share_one_training() -> None:
    plan = make_plan(targets=["xquad", "mlqa"])
    assert [job.task for job in plan.trainings.values()] == ["squad_v1"]
    assert plan.counts() == {"train": 1, "evaluate": 12 + 7}


def test_an_intermediate_adapter_serves_all_targets() -> None:
    plan = make_plan(
        targets=["xnli", "panx", "tatoeba"], intermediate=["squad_v1"], compositions=["sequential", "stack"]
    )
    trained = [(job.composition, job.task) for job in plan.trainings.values()]
    assert sorted(trained) == sorted(
        [("single", "mnli"), ("single", "squad_v1"), ("single", "panx"), ("single", "tatoeba")]
        + [(how, task) for how in ("sequential", "stack") for task in ("mnli", "panx")]
    )
    as_it_is = [cell for cell in plan.cells if cell.target == "tatoeba" and cell.intermediate]
    assert [(cell.transfer, cell.training.task) for cell in as_it_is] == [("as it is", "squad_v1")]


def test_a_baseline_is_the_intermediate_adapter_of_the_same_task_and_settings() -> None:
    assert len(make_plan(targets=["xnli"], intermediate=["mnli"]).trainings) == 2
    apart = make_plan(
        targets=["xnli"], intermediate=["mnli"], overrides={"intermediate": {"limits": {"train": 100}}}
    )
    assert len(apart.trainings) == 3


def test_joint_tasks_have_one_name_in_any_order() -> None:
    plan = make_plan(targets=["panx"], intermediate=["qqp+mnli", "mnli+qqp", "multitask"])
    assert [cell.intermediate for cell in plan.cells] == ["", "mnli+qqp", "multitask"]
    assert len(plan.trainings) == 1 + 2 + 2


def chains_of(plan: Plan, how: str) -> list[list[str]]:
    """Returns the trainings of each cell with a composition, in order, as `composition task`."""

    def chain(digest: str) -> list[str]:
        job = plan.trainings[digest]
        return [*(step for need in job.needs for step in chain(need)), f"{job.composition} {job.task}"]

    return [chain(cell.training.digest) for cell in plan.cells if cell.transfer == how]


def test_a_chain_is_trained_one_after_the_other() -> None:
    plan = make_plan(
        targets=["xcopa"], trained_on={"xcopa": "siqa>copa"}, intermediate=["mnli", "csqa > squad_v1"]
    )
    assert chains_of(plan, "baseline") == [["single siqa", "sequential copa"]]
    assert chains_of(plan, "sequential") == [
        ["single mnli", "sequential siqa", "sequential copa"],
        ["single csqa", "sequential squad_v1", "sequential siqa", "sequential copa"],
    ]
    assert [cell.intermediate for cell in plan.cells] == ["", "mnli", "csqa>squad_v1"]


def test_without_a_chain_nothing_changes() -> None:
    assert digests(make_plan(targets=["xcopa"])) == digests(
        make_plan(targets=["xcopa"], trained_on={"xcopa": "siqa"})
    )


def test_a_language_adapter_applies_to_all_jobs_and_allow_leak_to_evaluations() -> None:
    reference = "single-mlm-{lang}-"
    configs = ["seq_bn", {"name": "seq_bn", "language_adapter": reference}]
    plan = make_plan(targets=["panx"], intermediate=["mnli"], adapter_configs=configs, allow_leak=True)
    over = [job for job in plan.jobs() if job.settings.language_adapter]
    assert {job.settings.language_adapter for job in over} == {reference}
    assert len(over) * 2 == len(list(plan.jobs()))
    assert {cell.config for cell in plan.cells} == {"seq_bn", f"seq_bn over {reference}"}
    assert {job.type for job in plan.jobs() if job.settings.allow_leak} == {"evaluate"}
    assert over[0].settings.options()["language_adapter"] == reference


def test_later_fields_do_not_change_older_digests() -> None:
    settings = next(make_plan(targets=["panx"]).jobs()).settings
    assert not {"language_adapter", "allow_leak"} & settings.model_dump().keys()


def test_a_set_may_contain_the_target() -> None:
    plan = make_plan(
        targets=["panx", "tatoeba"], intermediate=["mnli"], compositions=["fuse", "average"],
        adapter_sets=[["mnli", "squad_v1", "target"]],
    )  # fmt: skip
    base = next(cell.training for cell in plan.cells if cell.target == "panx")
    fused = next(cell.training for cell in plan.cells if cell.transfer == "fuse")
    assert [plan.trainings[need].task for need in fused.needs] == ["mnli", "squad_v1", "panx"]
    assert fused.needs[-1] == base.digest
    assert fused.settings.config is None
    merged = [cell.transfer for cell in plan.cells if cell.target == "tatoeba"]
    assert merged == ["baseline", "as it is", "average"]  # nothing is trained there, so nothing can be fused


def test_jobs_follow_their_needs_and_are_unique() -> None:
    plan = list(
        make_plan(
            targets=["xquad", "mlqa", "panx", "tatoeba"], intermediate=["mnli", "squad_v1"],
            compositions=["sequential", "fuse"], adapter_sets=[["mnli", "squad_v1"]], seeds=[1, 2],
        ).jobs()
    )  # fmt: skip
    seen: set[str] = set()
    for job in plan:
        assert seen.issuperset(job.needs)
        assert job.digest not in seen
        seen.add(job.digest)


def test_counts_match_the_jobs() -> None:
    plan = make_plan(targets=["xquad", "tatoeba"], intermediate=["mnli", "panx"], seeds=[1, 2, 3])
    kinds = [job.type for job in plan.jobs()]
    assert {kind: kinds.count(kind) for kind in ("train", "compose", "evaluate")} == dict(plan.counts())


def test_the_most_informative_jobs_come_first() -> None:
    plan = list(
        make_plan(
            targets=["panx", "udpos"],
            intermediate=["mnli", "qqp"],
            compositions=["sequential", "stack"],
            seeds=[1, 2],
        ).jobs()
    )
    place = {job.digest: n for n, job in enumerate(plan)}
    trained = [job for job in plan if not job.language]
    assert [job.composition for job in trained[:2]] == ["single", "single"]
    last = max(place[job.digest] for job in trained if job.composition == "sequential" and job.seed == 1)
    assert last < min(place[job.digest] for job in trained if job.composition == "stack")
    assert last < min(place[job.digest] for job in trained if job.seed == 2)
    first = [job.language for job in plan if job.needs == (plan[0].digest,)]
    assert first[:5] == ["en", "zh", "ar", "de", "sw"]


def test_a_new_language_adds_only_its_evaluations(write: Write) -> None:
    less = digests(plan_of(write(languages=["en", "de"])))
    more = plan_of(write(languages=["en", "de", "sw"]))
    added = [job for job in more.jobs() if job.digest not in set(less)]
    assert set(less) < set(digests(more))
    assert {job.language for job in added} == {"sw"}
    assert len(added) == 3 + 3


def test_a_new_seed_adds_only_its_jobs(write: Write) -> None:
    less, more = digests(plan_of(write(seeds=[1]))), plan_of(write(seeds=[1, 2]))
    added = [job for job in more.jobs() if job.digest not in set(less)]
    assert set(less) < set(digests(more))
    assert {job.seed for job in added if not job.language} == {2}
    bare = [job for job in more.trainings.values() if job.settings.hyperparameters is None]
    assert len(bare) == 1  # the bare encoder has no seed


def test_a_new_target_adds_only_its_jobs(write: Write) -> None:
    less = digests(plan_of(write()))
    more = plan_of(write(targets=["mini_paraphrase", "mini_retrieval", "mini_ner"]))
    added = [job for job in more.jobs() if job.digest not in set(less)]
    assert set(less) < set(digests(more))
    assert {job.task for job in added} == {"mini_ner"}


def test_a_setting_changes_only_the_digests_that_depend_on_it(write: Write) -> None:
    before = plan_of(write())
    after = plan_of(write(overrides={"mini_qa": {"hyperparameters": {"epochs": 9}}}))
    kept = set(digests(before)) & set(digests(after))
    tasks = {before.trainings[key].task for key in kept if key in before.trainings}
    assert tasks == {"mini_paraphrase", "mini_retrieval", "mini_nli"}
    assert (
        len(set(digests(before)) - kept) == 1 + 1 + 3 + 2
    )  # the adapter, what starts from it, their evaluations


def test_an_explicit_default_changes_nothing(write: Write) -> None:
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


def test_targets_of_a_suite_without_data_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "tatoeba").mkdir()
    for ending in ("deu", "eng"):
        (tmp_path / "tatoeba" / f"tatoeba.deu-eng.{ending}").write_text("a\nb\n", encoding="utf-8")
    grid_config = GridConfig.model_validate({"suite": "xtreme", "data_dir": tmp_path, "source": "folder"})
    plan, skipped = find_scopes(grid_config, DataSearch())
    assert plan == {"tatoeba": EvalScope("test", ("de",))}
    assert "xnli" in skipped


def test_the_grid_of_the_paper_has_nine_tasks_and_their_multitask_training() -> None:
    grid_config = load_config("paper-mbert")
    plan = expand(grid_config, *find_scopes(grid_config, DataSearch()))
    assert len({cell.intermediate for cell in plan.cells} - {""}) == 10
    assert len({cell.target for cell in plan.cells}) == 9


def test_repetitions_are_planned_once() -> None:
    once = make_plan(targets=["panx"], intermediate=["mnli"], seeds=[1, 2])
    twice = make_plan(targets=["panx", "panx"], intermediate=["mnli", "mnli"], seeds=[1, 2, 1])
    assert twice.cells == once.cells
    assert digests(twice) == digests(once)


def test_revisions_of_a_backbone_are_separate_columns() -> None:
    backbones = [{"name": "org/encoder", "revision": "a"}, {"name": "org/encoder", "revision": "b"}]
    plan = make_plan(targets=["panx"], intermediate=["mnli"], backbones=backbones)
    assert [cell.backbone for cell in plan.cells] == ["org/encoder@a"] * 2 + ["org/encoder@b"] * 2
    assert len({cell.row_key for cell in plan.cells}) == 4


def test_no_adapter_is_combined_with_itself() -> None:
    joined = {"compositions": ["fuse"], "adapter_sets": [["mnli", "squad_v1", "target"]]}
    plan = make_plan(targets=["xquad", "panx"], intermediate=["mnli", "squad_v1"], **joined)
    assert [(cell.target, cell.transfer) for cell in plan.cells if cell.rank] == [("panx", "fuse")]
    assert plan.duplicates == ("fuse mnli, squad_v1, target for xquad",)


def test_an_explicit_precision_applies_to_evaluations_as_well() -> None:
    default, explicit = (
        make_plan(targets=["panx"]),
        make_plan(targets=["panx"], hyperparameters={"precision": "bf16"}),
    )
    assert explicit.cells[0].settings.options()["hyperparameters"] == {"precision": "bf16"}
    assert "precision" not in default.cells[0].settings.model_dump()  # and so its digest is what it was


def test_job_names_are_unique() -> None:
    plan = make_plan(
        targets=["xnli", "panx"],
        intermediate=["mnli", "squad_v1"],
        adapter_configs=["seq_bn", "lora"],
        seeds=[1, 2],
    )
    names = [job.name for job in plan.jobs()]
    assert len(set(names)) == len(names)
    assert "sequential panx from mnli (me5-small, lora) seed 2" in names
