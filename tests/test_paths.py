"""A `~` in a path: the home folder, or an ordinary error where there is no such user."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from adapterstilts.data.lock import LOCK_VARIABLE, _lock_file
from adapterstilts.errors import StiltsError
from adapterstilts.grid import config
from adapterstilts.model.backbone import BackboneFiles
from adapterstilts.model.configs import AdapterSpec
from adapterstilts.paths import expanded
from adapterstilts.run.language_adapters import find_language_adapter
from adapterstilts.store import Store


def _language(name: str) -> object:
    return find_language_adapter(name, "en", Store(Path("none")))


NOBODY = "~no-such-user-here/file.yaml"


def test_the_home_folder_is_filled_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert expanded("~/a") == tmp_path / "a"
    assert expanded("a~") == Path("a~")


@pytest.mark.parametrize(
    "read",
    [BackboneFiles.locate, AdapterSpec.load, config.find_config, _language],
)
def test_an_unknown_user_is_an_error(read: Callable[[str], object]) -> None:
    with pytest.raises(StiltsError, match="no-such-user-here"):
        read(NOBODY)
    assert not BackboneFiles.is_folder(NOBODY)


def test_an_unknown_user_in_the_name_of_the_lock_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(LOCK_VARIABLE, NOBODY)
    with pytest.raises(StiltsError, match="no-such-user-here"):
        _lock_file()
