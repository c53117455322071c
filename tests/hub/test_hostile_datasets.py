"""Cards of Hub datasets that would hang or fill the program: refused before a library reads them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from adapterstilts.data import hub as hub_data
from adapterstilts.data.hub import _check_metadata
from adapterstilts.errors import MissingDataError
from tests.hub.fake_hub.server import Hub

REPO = "you/rows"
BOMB = "a0: &a0 {x: 1}\n" + "".join(
    f"a{n}: &a{n} {{<<: [{', '.join([f'*a{n - 1}'] * 9)}]}}\n" for n in range(1, 9)
)


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("README.md", b"---" + b"\n" * 2_000, "no line of '---' ends its front matter"),
        ("README.md", b"---" + b"\r\n" * 300_000, "no line of '---' ends"),
        ("README.md", b"\n\n---\na: 1\n--- \n" + b"\n" * 5_000, "no line of '---' ends"),
        ("README.md", b"---\na: 1" + b"\n" * 200_000 + b"---\n", "more than 100 line breaks in a row"),
        ("README.md", f"---\n{BOMB}---\n".encode(), r"README.md at \w+, line \d+: "),
        ("README.md", b"---\na: " + b"[" * 10_000 + b"\n---\n", "line 2: .* more than 50 levels"),
        ("README.md", b"---\na: !!python/object/apply:os.system [id]\n---\n", "line 2: the type"),
        ("README.md", b"---\n- a\n---\n", "should hold keys with values"),
        ("README.md", b"---\na: \xff\n---\n", "not UTF-8"),
        ("README.md", b"x" * 2_000_000, "larger than 1,048,576 bytes"),
        (".huggingface.yaml", BOMB.encode(), r"yaml at \w+, line \d+: "),
        (".huggingface.yaml", b"a: " + b"[" * 10_000, "line 1: .* more than 50 levels"),
    ],
)
def test_metadata_that_would_hang_the_reader(hub: Hub, name: str, content: bytes, message: str) -> None:
    commit = hub.put("datasets", REPO, {name: content})
    start = time.monotonic()
    with pytest.raises(MissingDataError, match=message) as error:
        _check_metadata(REPO, commit)
    assert time.monotonic() - start < 2
    assert f"{REPO} cannot be read ({name} at {commit[:12]}" in str(error.value)


@pytest.mark.usefixtures("me")
@pytest.mark.parametrize(
    "content",
    [
        b"# Rows\n\n---\n",
        b"",
        b"---\nlicense: mit\n---\n# Rows\n",
        b"---\r\nlicense: mit\r\n---\r\n",
        b"---\n\n---",
    ],
)
def test_ordinary_cards(hub: Hub, content: bytes) -> None:
    _check_metadata(REPO, hub.put("datasets", REPO, {"README.md": content}))
    assert len(hub.calls("GET", "/resolve/")) == 2


def test_a_hub_that_cannot_be_reached_is_left_to_the_reader(
    me: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = "http://127.0.0.1:1/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.file_download.HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(hub_data, "SECONDS", 1)
    _check_metadata(REPO, "0" * 40)
