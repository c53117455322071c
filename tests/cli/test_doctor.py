"""`doctor`: findings and advice, without downloads."""

from __future__ import annotations

import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub.constants
import pytest

from adapterstilts.cli import doctor
from adapterstilts.store import Store
from tests.store.conftest import publish, train_job

from .conftest import Call


def test_json_names_versions_devices_and_results(call: Call, tmp_path: Path) -> None:
    publish(Store(tmp_path / "checkpoints"), train_job())
    found = json.loads(call("doctor", "--json", "--offline").stdout)
    by_name = {each["name"]: each for each in found}
    assert by_name["torch"]["value"].startswith("2.")
    assert by_name["torch"]["advice"] is None
    assert "threads" in by_name["CPU"]["value"]
    assert by_name["runs"]["value"] == "1"
    assert str(tmp_path / "checkpoints") in by_name["disk"]["value"]
    assert {each["value"] for each in found if each["section"] == "Hub"} == {"not checked (offline)"}


def test_the_table_ends_with_advice(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "PACKAGES", ("torch", "no-such-package"))
    found = call("doctor", "--offline")
    assert "- no-such-package: install it: pip install no-such-package" in found.stdout
    assert "warning" in found.stderr


def test_damaged_and_unfinished_runs_are_reported(tmp_path: Path) -> None:
    store = Store(tmp_path)
    run = publish(store, train_job())
    (run.path / "log.jsonl").unlink()
    with pytest.raises(RuntimeError), store.work(train_job(seed=2)):
        raise RuntimeError
    by_name = {finding.name: finding for finding in doctor._results(tmp_path)}
    assert f"log.jsonl is missing; remove it: adapterstilts runs rm {run.id}" == by_name[run.id].advice
    assert by_name["unfinished runs"].value == "1"


def test_little_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for free, warned in ((5_000_000, True), (5_000_000_000, False)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: SimpleNamespace(free=free))
        (disk,) = (each for each in doctor._results(tmp_path / "not" / "yet") if each.name == "disk")
        assert (disk.advice is not None) == warned
    assert list(tmp_path.iterdir()) == []


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers HEAD with the status in the path."""

    def do_HEAD(self) -> None:
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Keeps quiet."""


@pytest.fixture
def server() -> Iterator[str]:
    """A web server on this machine."""
    running = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=running.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{running.server_port}"
    running.shutdown()
    thread.join()
    running.server_close()


def test_reaching_the_hub(server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    assert doctor._connection_problem(f"{server}/200") is None
    assert doctor._connection_problem(f"{server}/404") is None
    assert doctor._connection_problem(f"{server}/503") == "status 503"
    assert "refused" in str(doctor._connection_problem("http://127.0.0.1:9"))
    assert "not a web address" in str(doctor._connection_problem("file:///etc/hostname"))


def test_an_unreachable_hub_comes_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    found = doctor._hub(offline=False)
    assert found.value.startswith("not reachable")
    assert found.advice is not None and "--data-dir" in found.advice


def test_tasks_with_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ADAPTERSTILTS_DATA", raising=False)
    (tmp_path / "panx").mkdir()
    for language in ("sw", "de"):
        (tmp_path / "panx" / f"dev-{language}.tsv").write_text(
            f"{language}:Anna\tB-PER\n\n", encoding="utf-8"
        )
    by_name = {finding.name: finding for finding in doctor._data(tmp_path)}
    assert by_name["panx"].value == "dev in 2 languages"
    assert by_name["folder"].advice is None
    missing = {finding.name: finding for finding in doctor._data(tmp_path / "nowhere")}
    assert "nowhere" in str(missing["tasks"].advice)


@pytest.mark.parametrize("arguments", [("doctor",), ("doctor", "--offline"), ("doctor", "--json")])
def test_credentials_in_the_endpoint_are_hidden(
    arguments: tuple[str, ...], call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    for endpoint in ("http://me:s3cret@127.0.0.1:9", "ftp://me:s3cret@127.0.0.1"):
        monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", endpoint)
        monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
        found = call(*arguments)
        assert "s3cret" not in found.output and "***@127.0.0.1" in found.output
