"""Publishing to a Hub on this machine with the real client, and taking it back: nothing is lost."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import ModelCard
from typer.testing import CliRunner

from adapterstilts import Options, compose, evaluate, train_adapter
from adapterstilts.cli.app import app
from adapterstilts.errors import AdapterError, ConfigError, HubError, StoreError
from adapterstilts.hub.publish import Publishing, publish, write
from adapterstilts.hub.pull import pull, search
from adapterstilts.hub.third_party import PullHints
from adapterstilts.job import EvalJob
from adapterstilts.store import Run, Store
from tests.hub.conftest import LANGUAGES, TARGET, TASK, Runs, options
from tests.hub.fake_hub.server import Hub

TOKEN = "hf_token_of_me"


def scores(store: Path, run: str, task: str, backbone: Path) -> dict[str, dict[str, object]]:
    (found,) = evaluate(run, task, LANGUAGES, options(store, backbone))
    return {language: dict(each.metrics) for language, each in found.runs.items()}


@pytest.mark.parametrize(("name", "task"), [("single", TASK), ("stack", TARGET), ("fuse", TARGET)])
def test_what_is_pulled_gives_the_same_metrics(
    name: str, task: str, trained: Runs, store: Path, me: Path, hub: Hub, tiny_backbone: Path
) -> None:
    run = trained[name]
    before = scores(store, run.id, task, tiny_backbone)
    done = publish(run.id, "me/one", store)
    assert done.changed and done.replaced is None
    shutil.rmtree(store)

    pulled = pull("me/one", me)
    assert (pulled.id, pulled.key) == (run.id, run.key)
    with pytest.raises(AdapterError, match=r"backbone in a folder, .* which is not here: name it"):
        evaluate(pulled.id, task, ("en",), Options(store=me, source="bundled"))
    assert scores(me, pulled.id, task, tiny_backbone) == before
    origin = json.loads(pulled.file("origin.json").read_bytes())
    assert origin["pulled"] == {"repo": "me/one", "commit": done.commit}
    assert origin["backbone"]["name"] == tiny_backbone.name, "no path of the machine it was trained on"


def test_every_form_is_pulled_whole(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    for name, run in trained.items():
        publish(run.id, f"me/{name}", store)
        pulled = pull(f"me/{name}", me)
        own = {path.relative_to(run.path) for path in run.path.rglob("*")}
        assert {path.relative_to(pulled.path) for path in pulled.path.rglob("*")} == own
        for path in run.path.rglob("*"):
            if path.is_file() and path.name not in ("origin.json", "manifest.json"):
                assert (pulled.path / path.relative_to(run.path)).read_bytes() == path.read_bytes(), path


def test_a_pulled_run_is_built_on(
    trained: Runs, store: Path, me: Path, hub: Hub, tiny_backbone: Path
) -> None:
    publish(trained["single"].id, "me/nli", store)
    pulled = pull("me/nli", me)
    built = compose(TARGET, "sequential", [pulled.id], options(me, tiny_backbone))
    assert built.key == trained["sequential"].key
    assert (
        built.file(f"adapters/{TARGET}/adapter.safetensors").read_bytes()
        == trained["sequential"].file(f"adapters/{TARGET}/adapter.safetensors").read_bytes()
    )
    card = write(built.id, "me/other", me.parent / "built", me).card
    assert "Mini NLI" in card and "Mini paraphrases" in card, "what it was built on is credited"
    publish(built.id, "me/built", me)
    shutil.rmtree(me)
    again = pull("me/built", me)
    card = write(again.id, "me/other", me.parent / "again", me).card
    assert "| Mini NLI |" in card and "| Mini paraphrases |" in card, "where its source is gone too"


def test_twice_makes_one_commit(trained: Runs, store: Path, me: Path, hub: Hub, tiny_backbone: Path) -> None:
    first = publish(trained["single"].id, "me/one", store)
    again = publish(trained["single"].id, "me/one", store)
    assert not again.changed and again.commit == first.commit
    assert len(hub.calls("POST", "/commit/")) == 1
    evaluate(trained["single"].id, TASK, ("tr",), options(store, tiny_backbone))  # the card has a new line
    third = publish(trained["single"].id, "me/one", store)
    assert third.changed and third.replaced is None


def test_a_branch_and_a_revision(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    first = publish(trained["single"].id, "me/one", store)
    second = publish(trained["qa"].id, "me/one", store, Publishing(revision="qa"))
    assert second.changed and second.replaced == trained["single"].id
    assert pull("me/one", me).id == trained["single"].id
    assert pull("me/one@qa", me).id == trained["qa"].id
    assert pull(f"me/one@{first.commit}", me).id == trained["single"].id
    with pytest.raises(HubError, match="the revision does not exist"):
        pull("me/one@gone", me)


def test_the_card_passes_the_hubs_validation(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    publish(trained["stack"].id, "me/stacked", store)
    text = hub.files("models", "me/stacked")["README.md"].decode()
    assert hub.calls("POST", "validate-yaml"), "the client has it checked before it uploads"
    data = ModelCard(text).data
    assert data.library_name == "adapters" and "adapter-transformers" in data.tags
    assert data.license == "cc0-1.0" and data.pipeline_tag == "text-classification"
    found = {(each.dataset_config, each.metric_type): each.metric_value for each in data.eval_results or ()}
    stored = {
        (each.job.language, name): value
        for each in Store(store).scan()
        if isinstance(each, Run) and isinstance(each.job, EvalJob) and each.job.run == trained["stack"].key
        for name, value in each.metrics.items()
        if name not in ("examples", "score", "low", "high")
    }
    assert found == stored and {language for language, _ in found} == set(LANGUAGES)
    for language in LANGUAGES:
        assert f"| {language} | {found[language, 'accuracy']:.1f} |" in text


def test_dry_run_writes_the_same_bytes_and_uploads_nothing(
    trained: Runs, store: Path, me: Path, hub: Hub, tmp_path: Path
) -> None:
    made = write(trained["fuse"].id, "me/fused", tmp_path / "out", store)
    assert hub.log == []
    publish(trained["fuse"].id, "me/fused", store)
    written = {name: (tmp_path / "out" / name).read_bytes() for name in made.files}
    published = hub.files("models", "me/fused")
    published.pop(".gitattributes", None)
    assert published == written
    assert str(store).encode() not in b"".join(written.values())
    assert b"/tmp/" not in b"".join(content for name, content in written.items() if name.endswith("json"))
    with pytest.raises(ConfigError, match="not empty"):
        write(trained["fuse"].id, "me/fused", tmp_path / "out", store)


def test_what_cannot_be_published(
    trained: Runs, store: Path, me: Path, hub: Hub, tiny_backbone: Path
) -> None:
    evaluation = next(each.name for each in store.iterdir() if each.name.startswith("eval-"))
    with pytest.raises(ConfigError, match="publish the run that it evaluates"):
        publish(evaluation, "me/one", store)
    bare = train_adapter("mini_retrieval", options(store, tiny_backbone))
    with pytest.raises(AdapterError, match="bare backbone"):
        publish(bare.id, "me/one", store)
    with pytest.raises(HubError, match="not a valid repository id"):
        publish(trained["qa"].id, "me/on e", store)
    damaged = store / trained["qa"].id / "log.jsonl"
    damaged.write_text("{}\n", "utf-8")
    with pytest.raises(StoreError, match=r"log\.jsonl has 3 bytes"):
        publish(trained["qa"].id, "me/one", store)
    assert hub.repos == {}


def test_a_repository_that_holds_something_else_is_left_alone(
    trained: Runs, store: Path, me: Path, hub: Hub
) -> None:
    hub.put("models", "me/model", {"README.md": b"# Mine\n", "model.safetensors": b"0" * 100})
    with pytest.raises(HubError, match=r"did not publish .*choose another name"):
        publish(trained["single"].id, "me/model", store)
    assert set(hub.files("models", "me/model")) == {"README.md", "model.safetensors"}


def test_what_its_owner_put_beside_stays(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    publish(trained["fuse"].id, "me/one", store)
    hub.put("models", "me/one", {**hub.files("models", "me/one"), "notes.md": b"mine"})
    publish(trained["single"].id, "me/one", store)
    held = hub.files("models", "me/one")
    assert held.pop("notes.md") == b"mine" and "run/fusion/fusion.json" not in held
    with pytest.raises(HubError, match="--skip-others"):
        pull("me/one", me)
    assert pull("me/one", me, skip_others=True).id == trained["single"].id


def test_a_public_repository_does_not_become_private_by_itself(
    trained: Runs, store: Path, me: Path, hub: Hub
) -> None:
    publish(trained["single"].id, "me/one", store)
    with pytest.raises(HubError, match="exists and is public"):
        publish(trained["qa"].id, "me/one", store, Publishing(private=True))


def test_a_dry_run_is_not_the_store(trained: Runs, store: Path, tmp_path: Path) -> None:
    made = write(trained["single"].id, "me/one", tmp_path / "out", store)
    for name in made.files:
        with (made.folder / name).open("ab") as file:
            file.write(b" ")
    assert Store(store).find(trained["single"].id).key == trained["single"].key


def test_an_evaluation_on_a_task_of_ones_own_is_left_out(
    trained: Runs, store: Path, tmp_path: Path, tiny_backbone: Path
) -> None:
    (tmp_path / "rows.tsv").write_text("a\tb\tgold\nthe cat\ta dog\tneutral\nno\tyes\tneutral\n", "utf-8")
    task = tmp_path / "own_nli.yaml"
    task.write_text(
        "name: own_nli\nkind: sequence\nformat: tsv\nfiles: {test: rows.tsv}\n"
        "columns: {first: a, second: b, label: gold}\nlabels: [entailment, neutral, contradiction]\n"
        "languages: [en]\ntrained_on: mini_nli\n",
        "utf-8",
    )
    given = Options(store=store, backbone=str(tiny_backbone))
    assert evaluate(trained["single"].id, str(task), ("en",), given)[0].scores
    card = write(trained["single"].id, "me/one", tmp_path / "out", store).card
    assert "own_nli" not in card and "Mini NLI" in card


def test_a_language_adapter_of_others_comes_along(
    trained: Runs, me: Path, hub: Hub, tmp_path: Path, tiny_backbone: Path
) -> None:
    """Such a folder has no record of ours, and perhaps files that are nobody's business."""
    own = train_adapter(TASK, options(tmp_path / "below", tiny_backbone))
    below = tmp_path / "en"
    below.mkdir()
    for name in ("adapter.safetensors", "adapter_config.json"):
        shutil.copy(own.file(f"adapters/{TASK}/{name}"), below)
    (below / "notes.txt").write_text("mine", "utf-8")
    given = options(tmp_path / "above", tiny_backbone).model_copy(update={"language_adapter": str(below)})
    run = train_adapter(TASK, given)
    publish(run.id, "me/above", tmp_path / "above")
    assert not any("notes" in name for name in hub.files("models", "me/above"))
    pulled = pull("me/above", me)
    assert scores(me, pulled.id, TASK, tiny_backbone) == scores(
        tmp_path / "above", run.id, TASK, tiny_backbone
    )


def test_training_says_what_was_pulled(
    trained: Runs, store: Path, me: Path, hub: Hub, tiny_backbone: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(trained["single"].id, "me/one", store)
    pull("me/one", me)
    capsys.readouterr()
    train_adapter(TASK, options(me, tiny_backbone))
    assert "it was pulled from me/one (commit" in capsys.readouterr().err


def test_credits_of_text_and_of_translations(me: Path, tmp_path: Path, tiny_backbone: Path) -> None:
    (tmp_path / "sw.txt").write_text("the cat\na dog\nthe man took the train\n" * 8, "utf-8")
    given = options(me, tiny_backbone).model_copy(
        update={"mlm": str(tmp_path / "sw.txt"), "mlm_languages": ("sw",)}
    )
    mixed, alone = train_adapter(TASK, given), train_adapter("mlm", given)
    card = write(mixed.id, "me/mixed", tmp_path / "mixed", me).card
    assert "on English data and plain text in sw" in card and "Masked language modelling" in card
    assert "license: other" in card and str(tmp_path) not in card
    card = write(alone.id, "me/sw", tmp_path / "alone", me).card
    assert "trained on plain text in sw." in card and "train-adapter TASK --language-adapter" in card
    assert (
        "language:\n- sw\n" in card
        and "English" not in card.partition("# Masked")[2].partition("## Results")[0]
    )


def test_a_private_repository(
    trained: Runs, store: Path, me: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(trained["single"].id, "me/secret", store, Publishing(private=True))
    assert hub.repos["models", "me/secret"].private
    assert pull("me/secret", me).id == trained["single"].id
    monkeypatch.setenv("HF_TOKEN", "hf_token_of_you")
    with pytest.raises(HubError, match="does not exist or is private"):
        pull("me/secret", me)


def test_search_finds_what_is_published(trained: Runs, store: Path, me: Path, hub: Hub) -> None:
    publish(trained["single"].id, "me/stilts-nli", store)
    publish(trained["qa"].id, "me/stilts-qa", store)
    hub.put("models", "you/stilts-model", {"README.md": b"---\ntags: [bert]\n---\n"})
    assert {each.repo for each in search("stilts")} == {"me/stilts-nli", "me/stilts-qa"}
    (found,) = search("stilts", task=TASK)
    assert (found.repo, found.ours) == ("me/stilts-nli", True)
    assert search("stilts", backbone="xlmr-base") == []


def test_another_backbone_is_refused(
    trained: Runs, store: Path, me: Path, hub: Hub, tiny_backbone: Path, deeper_backbone: Path
) -> None:
    publish(trained["single"].id, "me/one", store)
    with pytest.raises(AdapterError, match="trained on another backbone"):
        pull("me/one", me, PullHints(backbone=str(deeper_backbone)))
    assert pull("me/one", me, PullHints(backbone=str(tiny_backbone))).id == trained["single"].id


def test_of_a_grid_each_adapter_has_its_repository(
    me: Path, hub: Hub, tmp_path: Path, tiny_backbone: Path
) -> None:
    hyperparameters = tmp_path / "small.yaml"
    hyperparameters.write_text(
        f"backbones: {tiny_backbone}\nintermediate: [{TASK}]\ncompositions: [sequential]\n"
        f"targets: [{TARGET}]\n"
        "languages: [en, de]\nsource: bundled\nlimits: {train: 16, eval: 8}\n"
        "hyperparameters: {max_steps: 2, batch_size: 8}\n",
        "utf-8",
    )
    call = CliRunner().invoke
    words = ["publish", str(hyperparameters), "me/set", "--all", "-C", str(tmp_path / "grid")]
    none = call(app, words)
    assert none.exit_code == 2 and "grid run" in none.output
    made = call(app, ["grid", "run", str(hyperparameters), "-C", str(tmp_path / "grid"), "--processes", "1"])
    assert made.exit_code == 0, made.output
    done = call(app, [*words, "--json"])
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lines) == 3 and {each["repo"] for each in lines} == {f"me/set-{each['run']}" for each in lines}
    again = [json.loads(line) for line in call(app, [*words, "--json"]).stdout.splitlines()]
    assert not any(each["changed"] for each in again)
    assert [kind for kind, _ in hub.repos] == ["models"] * 3
