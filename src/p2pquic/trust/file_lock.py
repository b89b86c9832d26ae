"""A lock that one process at a time can hold, and loses when it ends, however it ends.

It is the kernel's lock on a file of its own (flock, LockFileEx), not the file's being there: what
a crash leaves behind locks nobody out.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from p2pquic.core.errors import UsageError

if sys.platform == "win32":
    import msvcrt

    def _lock(file: BinaryIO, *, wait: bool) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_LOCK if wait else msvcrt.LK_NBLCK, 1)

    def _unlock(file: BinaryIO) -> None:  # Windows does it some time after the file is closed
        msvcrt.locking(file.fileno(), msvcrt.LK_UNLCK, 1)

    def _is_held_by_another(error: OSError) -> bool:
        return isinstance(error, PermissionError)
else:
    import fcntl

    def _lock(file: BinaryIO, *, wait: bool) -> None:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _unlock(file: BinaryIO) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)

    def _is_held_by_another(error: OSError) -> bool:
        return isinstance(error, BlockingIOError)


@contextmanager
def holding(path: Path) -> Iterator[None]:
    """Hold the lock, waiting for it; for work of a moment.

    Raises:
        UsageError: the place cannot be written.
    """
    with _opened(path) as file:
        _try(file, path, wait=True)
        try:
            yield
        finally:
            _unlock(file)


@contextmanager
def holding_if_free(path: Path) -> Iterator[bool]:
    """Hold the lock if nobody else does; whether we do.

    Raises:
        UsageError: the place cannot be written.
    """
    with _opened(path) as file:
        is_ours = _try(file, path, wait=False)
        try:
            yield is_ours
        finally:
            if is_ours:
                _unlock(file)


def _opened(path: Path) -> BinaryIO:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+b")
    except OSError as error:
        raise UsageError(f"Cannot write {path}: {error.strerror}.") from None


def _try(file: BinaryIO, path: Path, *, wait: bool) -> bool:
    try:
        _lock(file, wait=wait)
    except OSError as error:
        if not wait and _is_held_by_another(error):
            return False
        raise UsageError(f"Cannot lock {path}: {error.strerror}.") from None
    return True
