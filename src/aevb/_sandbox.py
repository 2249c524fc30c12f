"""Work of foreign programs without the right to write files, where the system offers it.

Landlock (Linux 5.13 and newer) takes rights from a single thread for good, so that the work runs in
a thread of its own. The other threads of the process keep their rights.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, TypeVar

import torch

_Result = TypeVar("_Result")
# Of linux/landlock.h: to write, remove, make, rename and truncate files and folders.
WRITE_FILE = 1 << 1
WRITE_RIGHTS = (WRITE_FILE | (0b111111111 << 4), 1 << 13, 1 << 14)  # by version of the interface
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446  # system calls, of every processor
PATH_BENEATH, NO_NEW_PRIVILEGES, VERSION_FLAG = 1, 38, 1


def run_without_writing(function: Callable[..., _Result], *arguments: Any) -> _Result:
    """Call a function in a thread that cannot write files, where the system offers it.

    Args:
        function: The function. It computes without gradients.
        *arguments: Its arguments.

    Returns:
        Its result.

    Example:
        >>> run_without_writing(max, 1, 2)
        2
    """
    with ThreadPoolExecutor(1, initializer=_give_up_writing) as pool:
        return pool.submit(_without_gradients, function, arguments).result()


def _without_gradients(function: Callable[..., _Result], arguments: tuple[Any, ...]) -> _Result:
    with torch.no_grad():  # which each thread has for itself
        return function(*arguments)


@cache
def landlock_version() -> int:
    """The version of Landlock that the system offers; 0 for none."""
    if sys.platform != "linux":
        return 0
    return max(0, _system_call(CREATE_RULESET, None, ctypes.c_size_t(0), VERSION_FLAG))


def _give_up_writing() -> None:
    """Take the right to write files from this thread; nothing where the system cannot."""
    version = landlock_version()
    if not version:
        return
    rights = ctypes.c_uint64(sum(WRITE_RIGHTS[:version]))
    rules = _system_call(
        CREATE_RULESET, ctypes.byref(rights), ctypes.c_size_t(ctypes.sizeof(rights)), 0
    )
    if rules < 0:
        return
    try:
        if torch.cuda.is_available():
            _allow_devices(rules)
        ctypes.CDLL(None).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0)
        _system_call(RESTRICT_SELF, rules, 0)
    finally:
        os.close(rules)


def _allow_devices(rules: int) -> None:
    """Let a thread write to devices, through which an accelerator gets its work."""

    class PathBeneath(ctypes.Structure):
        _pack_ = 1
        _fields_ = (("allowed_access", ctypes.c_uint64), ("parent_fd", ctypes.c_int32))

    folder = os.open("/dev", os.O_RDONLY)
    try:
        rule = PathBeneath(WRITE_FILE, folder)
        _system_call(ADD_RULE, rules, PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        os.close(folder)


def _system_call(number: int, *arguments: Any) -> int:
    return int(ctypes.CDLL(None, use_errno=True).syscall(number, *arguments))
