"""One process at a time writes a folder; the lock of a dead process is broken and reported."""

import json
import os
import platform
import subprocess
import sys

import pytest

from aevb._locks import LOCK_FILE, FolderLock, _start_ticks, holder
from aevb.errors import RunError

HOLD = """
import sys
from pathlib import Path
from aevb._locks import FolderLock
lock = FolderLock(Path(sys.argv[1]))
print("locked", flush=True)
sys.stdin.read()
"""


def test_another_process_is_refused_until_it_dies_and_then_reported(tmp_path):
    command = [sys.executable, "-c", HOLD, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": ":".join(sys.path)}
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as other:
        assert other.stdout is not None and other.stdout.readline() == "locked\n"
        assert holder(tmp_path)["pid"] == other.pid
        with pytest.raises(RunError) as caught:
            FolderLock(tmp_path)
        assert (caught.value.argument, caught.value.value) == ("out", str(tmp_path))
        assert str(other.pid) in caught.value.reason
        other.kill()
        other.wait()
    assert holder(tmp_path) is None and (tmp_path / LOCK_FILE).exists()
    with FolderLock(tmp_path) as lock:
        assert [(note.code, note.data["pid"]) for note in lock.notes] == [
            ("lock_broken", other.pid)
        ]
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="Linux tells when it started")
def test_without_locks_of_files_the_record_decides(tmp_path, monkeypatch):
    monkeypatch.setattr("aevb._locks._try_lock", lambda descriptor: True)
    record = {"pid": os.getpid(), "host": platform.node(), "ticks": _start_ticks(os.getpid())}
    (tmp_path / LOCK_FILE).write_text(json.dumps(record))
    with pytest.raises(RunError):
        FolderLock(tmp_path)
    for changed in ({"ticks": 1}, {"host": "elsewhere"}):  # a process of the same number
        (tmp_path / LOCK_FILE).write_text(json.dumps(record | changed))
        with FolderLock(tmp_path) as lock:
            assert lock.notes[0].code == "lock_broken"


def test_a_lock_that_is_a_link_is_refused_and_its_target_unchanged(tmp_path):
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / LOCK_FILE).symlink_to(tmp_path / "mine")
    with pytest.raises(RunError):
        FolderLock(tmp_path / "run")
    assert (tmp_path / "mine").read_text() == "mine"
