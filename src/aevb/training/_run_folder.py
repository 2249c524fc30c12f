"""The folder of a run while it is written: one writer, no way out, nothing lost, nothing left."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from .._config_file import CONFIG_FILE_NAME, is_own_config
from .._files import TEMPORARY_NAME, path_inside, remove_stale_files
from .._locks import LOCK_FILE, FolderLock
from .._persistence import NEXT_WEIGHTS_FILE, settle_weights
from ..errors import ArgumentError, RunError
from ..notes import Argument, Note, message

# Any of these files makes a folder a run.
RUN_MARKERS = ("model.json", "model.safetensors", "history.jsonl", "checkpoint")
RUN_FILES = (*RUN_MARKERS, NEXT_WEIGHTS_FILE, CONFIG_FILE_NAME, "report.html", "pictures")
REPLACED_FOLDER = ".replaced"  # an earlier run, until the new one has written its first files

_ANOTHER_FOLDER = message("Choose another {out}", out=Argument("out"))


class RunFolder:
    """A folder that this process alone writes a run to.

    An earlier run in it is put aside, and removed by ``commit``, or brought back by ``close``
    before that. As a context manager it does the first without an error and the second with one.

    Args:
        path: The folder; created if it does not exist.
        keep: Whether to continue the run in it.
        overwrite: Whether to replace the run in it.

    Raises:
        RunError: The folder is in the way, cannot be written, or is written by another process.
    """

    def __init__(self, path: Path, *, keep: bool = False, overwrite: bool = False) -> None:
        self.path, self.replaces = path, not keep
        check_run_folder(path, keep or overwrite)
        self.is_new = not path.exists()
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unusable(path, error) from error
        self.lock = FolderLock(path)
        self.notes: tuple[Note, ...] = self.lock.notes
        try:
            self._clean()
            if not keep:
                self._put_aside()
        except BaseException:
            self.close()
            raise
        self.identity = os.stat(path)

    def check(self) -> None:
        """Check that the path still leads to the folder that was opened.

        Raises:
            RunError: Its disk has vanished, or it was removed or replaced.
        """
        try:
            same = os.path.samestat(os.stat(self.path), self.identity)
        except OSError:
            same = False
        if not same:
            raise RunError(
                f"`{self.path}` has vanished or was replaced while the run was writing to it",
                suggestions=("Bring its disk back, and resume the run",),
            )

    def commit(self) -> None:
        """Remove the earlier run: the new one has written its first files."""
        self.replaces = False
        shutil.rmtree(self.path / REPLACED_FOLDER, ignore_errors=True)

    def close(self) -> None:
        """Give the folder back."""
        if self.replaces:
            with suppress(OSError):
                self._bring_back()
        self.lock.release()
        if self.is_new:
            with suppress(OSError):
                self.path.rmdir()  # only if it is empty

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self.commit()
        self.close()

    def _clean(self) -> None:
        """Remove what a killed process left behind."""
        for folder in (self.path, self.path / "checkpoint", self.path / "pictures"):
            remove_stale_files(folder)
        settle_weights(self.path)
        if (self.path / "model.json").exists():
            shutil.rmtree(self.path / REPLACED_FOLDER, ignore_errors=True)
        else:
            self._bring_back()

    def _put_aside(self) -> None:
        """Move the earlier run into a folder of its own, all of it or nothing."""
        names = [name for name in RUN_FILES if os.path.lexists(self.path / name)]
        try:
            if names:
                (self.path / REPLACED_FOLDER).mkdir()
            for name in names:
                (self.path / name).rename(self.path / REPLACED_FOLDER / name)
        except OSError as error:
            raise _unusable(self.path, error) from error

    def _bring_back(self) -> None:
        """Undo ``_put_aside``."""
        aside = path_inside(self.path, REPLACED_FOLDER)
        if not aside.is_dir():
            return
        for path in aside.iterdir():
            _remove(self.path / path.name)
            path.rename(self.path / path.name)
        aside.rmdir()


def check_resume(resume: bool, overwrite: bool) -> None:
    """Check that a run is not both continued and replaced.

    Raises:
        ArgumentError: Both are requested.
    """
    if resume and overwrite:
        raise ArgumentError(
            message("it replaces the run that {resume} continues", resume=Argument("resume", True)),
            argument="overwrite",
            value=True,
            suggestions=("Leave one of the two out",),
        )


def check_run_folder(path: Path, overwrite: bool) -> None:
    """Check that a run may be written to a folder; nothing changes.

    Args:
        path: The folder.
        overwrite: Whether a run in it may be replaced or continued.

    Raises:
        RunError: The folder is a file, has other files than a run, a run that must be kept, or a
            symbolic link out of it.
    """
    try:
        names = {name for name in os.listdir(path) if not _is_leftover(name)}
    except FileNotFoundError:
        return
    except NotADirectoryError:
        raise RunError(
            f"`{path}` exists and is no folder", suggestions=(_ANOTHER_FOLDER,)
        ) from None
    except OSError as error:
        raise _unusable(path, error) from error
    if names and not overwrite:
        raise RunError(
            f"`{path}` exists",
            argument="out",
            suggestions=(
                _ANOTHER_FOLDER,
                message("Write {flag} to replace it", flag=Argument("overwrite", True)),
            ),
        )
    if names and not names & set(RUN_MARKERS) and not _is_begun(path, names):
        raise RunError(
            message(
                "{out} has files that are not a run, and {flag} replaces runs only",
                out=f"`{path}`",
                flag=Argument("overwrite", True),
            ),
            argument="out",
            suggestions=(_ANOTHER_FOLDER,),
        )
    for name in RUN_FILES:
        path_inside(path, name)


def _is_begun(path: Path, names: set[str]) -> bool:
    """Whether a folder has no more than the settings of a run that was killed at its beginning."""
    only_settings = names == {CONFIG_FILE_NAME} and is_own_config(path / CONFIG_FILE_NAME)
    return only_settings or (path / REPLACED_FOLDER).is_dir()


def _is_leftover(name: str) -> bool:
    """Whether a name is one of those that a killed process leaves behind."""
    return name in (LOCK_FILE, REPLACED_FOLDER) or TEMPORARY_NAME.fullmatch(name) is not None


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _unusable(path: Path, error: OSError) -> RunError:
    return RunError(
        f"no run can be written there ({error.strerror or error})",
        argument="out",
        value=str(path),
        suggestions=(_ANOTHER_FOLDER,),
    )
