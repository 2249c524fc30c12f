"""A run folder: nothing leaves it, nothing is lost by a refusal, nothing stays of a killed run."""

import os
import shutil

import pytest

from aevb._config_file import render_config
from aevb._files import write_atomically
from aevb._locks import LOCK_FILE
from aevb.errors import RunError
from aevb.training._run_folder import REPLACED_FOLDER, RunFolder, check_run_folder

OLD = {"model.json": b"{}", "history.jsonl": b"", "checkpoint/state": b"1", "pictures/a.png": b"2"}


@pytest.fixture
def old(tmp_path):
    """An earlier run."""
    for name, content in OLD.items():
        write_atomically(tmp_path / "run" / name, content)
    return tmp_path / "run"


def contents(folder) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_an_earlier_run_is_replaced_only_once_the_new_one_has_begun(old):
    def fail() -> None:
        with RunFolder(old, overwrite=True):
            assert not (old / "model.json").exists()
            (old / "config.toml").write_text("new")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert {name: contents(old)[name] for name in OLD} == OLD
    with RunFolder(old, overwrite=True):
        (old / "model.json").write_text("new")
    assert contents(old) == {"model.json": b"new"}


def test_a_killed_replacement_gives_the_earlier_run_back(old):
    os.rename(old / "history.jsonl", old.parent / "history.jsonl")
    aside = old / REPLACED_FOLDER
    aside.mkdir()
    for name in ("model.json", "checkpoint", "pictures"):
        os.rename(old / name, aside / name)
    os.rename(old.parent / "history.jsonl", aside / "history.jsonl")
    write_atomically(old / "config.toml", b"new")
    folder = RunFolder(old, keep=True)
    folder.close()
    assert {name: contents(old)[name] for name in OLD} == OLD


@pytest.mark.parametrize("name", ["pictures", "checkpoint", "history.jsonl", "model.json"])
def test_a_link_out_of_the_folder_is_refused_before_anything_changes(old, tmp_path, name):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("mine")
    shutil.move(old / name, tmp_path / "moved")
    (old / name).symlink_to(elsewhere)
    before = contents(old)
    for options in ({"overwrite": True}, {"keep": True}):
        with pytest.raises(RunError):
            RunFolder(old, **options)
        with pytest.raises(RunError):
            write_atomically(old / name / "x", b"", within=old)
    assert contents(old) == before and contents(elsewhere) == {"precious": b"mine"}


def test_the_folder_itself_may_be_a_link(old, tmp_path):
    (tmp_path / "latest").symlink_to(old)
    check_run_folder(tmp_path / "latest", overwrite=True)


def test_files_of_dead_processes_are_removed_and_do_not_count(tmp_path):
    dead, alive = 2**22 + 1, 1  # beyond the largest number of a process, and the first one
    (tmp_path / "checkpoint").mkdir()
    for path in (tmp_path / f".model.json.{dead}.tmp", tmp_path / f".report.html.{alive}.tmp"):
        path.touch()
    (tmp_path / "checkpoint" / f".state.safetensors.{dead}.tmp").touch()
    (tmp_path / "checkpoint").rename(tmp_path / "x")
    with pytest.raises(RunError):
        check_run_folder(tmp_path, overwrite=True)  # x is no file of a run
    (tmp_path / "x").rename(tmp_path / "checkpoint")
    RunFolder(tmp_path, keep=True).close()
    kept = [f".report.html.{alive}.tmp"] if os.path.exists("/proc") else []
    assert list(contents(tmp_path)) == kept


def test_a_refused_folder_is_unchanged(tmp_path):
    (tmp_path / "file").write_text("mine")
    (tmp_path / "config.toml").write_text("mine = 1")
    for path in (tmp_path / "file", tmp_path, tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(RunError):
            RunFolder(path, overwrite=True)
    assert contents(tmp_path) == {"file": b"mine", "config.toml": b"mine = 1"}
    RunFolder(tmp_path / "new").close()
    assert not (tmp_path / "new").exists()


def test_a_folder_that_vanishes_is_noticed_and_not_made_again(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.check()
    shutil.rmtree(tmp_path / "run")
    with pytest.raises(RunError):
        folder.check()
    with pytest.raises(RunError):
        write_atomically(tmp_path / "run" / "checkpoint" / "state", b"", within=tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "other").mkdir()
    (tmp_path / "other").rename(tmp_path / "run")
    with pytest.raises(RunError):
        folder.check()
    folder.close()


def test_a_committed_run_stays(old):
    """A failure after ``commit`` does not bring the earlier run back."""
    folder = RunFolder(old, overwrite=True)
    (old / "model.json").write_text("new")
    folder.commit()
    assert not (old / REPLACED_FOLDER).exists()
    (old / REPLACED_FOLDER).mkdir()
    (old / REPLACED_FOLDER / "model.json").write_text("old")
    folder.close()
    assert (old / "model.json").read_text() == "new"
    RunFolder(old, keep=True).close()
    assert not (old / REPLACED_FOLDER).exists()  # beside a complete run it is left over


def test_a_folder_is_given_back_where_the_earlier_run_cannot_be_put_aside(old, monkeypatch):
    def fail(self, target):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(type(old), "rename", fail)
        with pytest.raises(RunError) as caught:
            RunFolder(old, overwrite=True)
    assert (caught.value.argument, caught.value.value) == ("out", str(old))
    assert {name: contents(old)[name] for name in OLD} == OLD
    with RunFolder(old, overwrite=True):
        (old / "model.json").write_text("new")


def test_settings_alone_are_a_run_that_was_begun(tmp_path):
    (tmp_path / "config.toml").write_text(render_config({"latent": 2}, {}))
    for name in (LOCK_FILE, ".model.json.1.tmp"):  # of a process, and no files of a run
        (tmp_path / name).touch()
    check_run_folder(tmp_path, overwrite=True)
    (tmp_path / "mine").touch()
    with pytest.raises(RunError):
        check_run_folder(tmp_path, overwrite=True)
    (tmp_path / REPLACED_FOLDER).mkdir()
    check_run_folder(tmp_path, overwrite=True)


def test_a_folder_in_the_way_is_replaced_by_the_earlier_one(old):
    aside = old / REPLACED_FOLDER
    aside.mkdir()
    for name in OLD.keys() & {"model.json", "history.jsonl"} | {"pictures"}:
        os.rename(old / name, aside / name)
    write_atomically(old / "pictures" / "new.png", b"3")
    RunFolder(old, keep=True).close()
    assert {name: contents(old)[name] for name in OLD} == OLD
    assert not aside.exists() and not (old / "pictures" / "new.png").exists()
