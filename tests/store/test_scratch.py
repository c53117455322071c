"""Temporary folders: removed at the end, after a kill by the next process, and never under a living one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread

import pytest

from adapterstilts.store.scratch import PREFIX, _remove_leftovers, scratch

HOLD = """
import sys, time
from pathlib import Path
from adapterstilts.store.scratch import scratch
with scratch(Path(sys.argv[1])) as folder:
    (folder / "weights").write_bytes(b"x")
    print(folder, flush=True)
    time.sleep(60)
"""


def test_a_folder_is_removed_at_the_end(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), scratch(tmp_path) as folder:
        (folder / "deep").mkdir()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_killed_process_leaves_nothing_for_long(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8") as process:
        assert process.stdout is not None
        held = Path(process.stdout.readline().strip())
        with scratch(tmp_path):
            assert (held / "weights").is_file(), "the process that holds it lives"
        process.send_signal(signal.SIGKILL)
    assert held.is_dir()
    with scratch(tmp_path) as folder:
        assert list(tmp_path.iterdir()) == [folder]


def test_what_is_not_ours_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / f"{PREFIX}file").write_text("x")
    (tmp_path / f"{PREFIX}link").symlink_to(tmp_path / "folder")
    (tmp_path / f"{PREFIX}left").mkdir()
    _remove_leftovers(tmp_path)
    _remove_leftovers(tmp_path / "nothing")
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"{PREFIX}file", f"{PREFIX}link", "folder"]


def test_many_at_once(tmp_path: Path) -> None:
    lost = []

    def work() -> None:
        for _ in range(30):
            with scratch(tmp_path) as folder:
                (folder / "x").write_text("x")
                if not os.path.exists(folder / "x"):  # noqa: PTH110
                    lost.append(folder)

    threads = [Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not lost and list(tmp_path.iterdir()) == []
