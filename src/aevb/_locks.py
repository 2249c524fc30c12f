"""Locks of folders: one process at a time writes a folder, and a process that dies frees it."""

from __future__ import annotations

import json
import os
import platform
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any

from ._files import parse_json
from .errors import RunError
from .notes import Argument, Note, message

LOCK_FILE = ".lock"


class FolderLock:
    """The right to write a folder.

    The operating system takes it back when the process ends, however it ends. The file names the
    process, for messages, and for systems without locks of files.

    Args:
        folder: An existing folder.

    Raises:
        RunError: Another process writes the folder, or nobody can.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with FolderLock(folder) as lock:
        ...     holder(folder)["pid"] == os.getpid(), lock.notes
        (True, ())
        >>> holder(folder), list(folder.iterdir())
        (None, [])
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / LOCK_FILE
        self.descriptor, broken = self._open()
        _write_record(self.descriptor)
        self.notes = (_broken_note(folder, broken),) if broken else ()

    def _open(self) -> tuple[int, dict[str, Any] | None]:
        """The open file, locked, and the record of a process that died with it."""
        while True:
            descriptor = self._open_file()
            locked, record = _try_lock(descriptor), _read_record(descriptor)
            if not locked or _is_alive(record):
                os.close(descriptor)
                raise _held_error(self.folder, record)
            if _is_file(descriptor, self.path):  # else another process has removed it meanwhile
                return descriptor, record
            os.close(descriptor)

    def _open_file(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
        try:
            return os.open(self.path, flags, 0o644)
        except OSError as error:
            raise RunError(
                f"nothing can be written there ({error.strerror or error})",
                argument="out",
                value=str(self.folder),
                suggestions=(message("Choose another {out}", out=Argument("out")),),
            ) from error

    def release(self) -> None:
        """Give the right back; nothing happens the second time."""
        if self.descriptor >= 0:
            with suppress(OSError):
                os.ftruncate(self.descriptor, 0)  # the folder may have been moved
            with suppress(OSError):
                if _is_file(self.descriptor, self.path):
                    self.path.unlink()
            with suppress(OSError):
                os.close(self.descriptor)
            self.descriptor = -1

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def holder(folder: Path) -> dict[str, Any] | None:
    """The record of the process that writes a folder now; ``None`` where none does."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:
        locked, record = _try_lock(descriptor), _read_record(descriptor)
        return record or {} if not locked or _is_alive(record) else None
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Lock a file; false where another process has it. Systems without locks answer true."""
    try:
        import fcntl
    except ImportError:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # a file system without locks: the record decides
        return True
    return True


def _write_record(descriptor: int) -> None:
    record = {
        "pid": os.getpid(),
        "host": platform.node(),
        "started": time.strftime("%Y-%m-%d %H:%M:%S"),
        "ticks": _start_ticks(os.getpid()),
    }
    with suppress(OSError):  # a full disk is reported where it loses something
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps(record).encode(), 0)


def _read_record(descriptor: int) -> dict[str, Any] | None:
    """The record of the last process; ``None`` where it gave its right back, or was cut short."""
    try:
        record = parse_json(os.pread(descriptor, 4096, 0))
    except (OSError, ValueError):
        return None
    return record if isinstance(record, dict) and isinstance(record.get("pid"), int) else None


def _is_alive(record: dict[str, Any] | None) -> bool:
    """Whether the process of a record still runs on this machine, as far as Linux tells."""
    if record is None or record.get("host") != platform.node() or record.get("ticks") is None:
        return False
    return _start_ticks(record["pid"]) == record["ticks"]


def _start_ticks(pid: int) -> int | None:
    """The start of a process since the machine started; tells processes of one number apart."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None


def _is_file(descriptor: int, path: Path) -> bool:
    """Whether a path still is the open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def _process_phrase(record: dict[str, Any] | None) -> str:
    known = record or {}
    return (
        f"process {known.get('pid', '?')} on {known.get('host', '?')} "
        f"since {known.get('started', '?')}"
    )


def _held_error(folder: Path, record: dict[str, Any] | None) -> RunError:
    return RunError(
        f"it is written by {_process_phrase(record)}",
        argument="out",
        value=str(folder),
        suggestions=(
            message("Wait for that process, stop it, or choose another {out}", out=Argument("out")),
        ),
    )


def _broken_note(folder: Path, record: dict[str, Any]) -> Note:
    return Note(
        "lock_broken",
        f"`{folder}` was written by {_process_phrase(record)}, which ended without closing it.",
        data={name: record.get(name) for name in ("pid", "host", "started")},
    )
