"""Whether an open queue file is still the one at its path, and as large as it was.

A file that is removed or replaced while it is open goes on working for the process that has it
open, and is gone once that process ends. So this is checked around each commit.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cio_sidecar.event_queue.errors import QueueDamaged, QueueError, os_error

_WAL_MAGIC: Final = (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
_Identity = tuple[int, int]


class Place:
    """Where a queue file and its WAL are. All methods are for the queue's thread."""

    def __init__(self, path: Path, *, wal_bytes: int) -> None:
        """Look at a file that has just been opened. ``wal_bytes``: the size to which SQLite may cut
        the WAL by itself. Raises OSError.
        """
        self._path = path
        self._wal = path.with_name(f"{path.name}-wal")
        self._wal_limit = wal_bytes
        self._file_id = _identity(os.lstat(path))
        # No process-wide lock is on the WAL that closing this would release.
        self._wal_fd = os.open(self._wal, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        self._wal_id = _identity(os.fstat(self._wal_fd))
        self._file_bytes = 0
        self._wal_bytes = 0

    def close(self) -> None:
        """Release what it holds open."""
        os.close(self._wal_fd)

    def wal_cut(self) -> None:
        """Note that the sidecar itself has cut the WAL."""
        self._wal_bytes = 0

    def check(self, page_bytes: Callable[[], int]) -> QueueError | None:
        """What has happened to the file; None if it is in its place and whole.

        QueueDamaged if it was truncated or overwritten, another QueueError if it is elsewhere or
        removed. ``page_bytes`` returns how large the database is; it is only called if the file
        has become smaller.
        """
        file, wal = self._path, self._wal
        try:
            at_file, at_wal = os.lstat(file), os.lstat(wal)
        except FileNotFoundError as error:
            return _gone(error.filename, "was removed or moved")
        except OSError as error:
            return os_error(error, file)
        if _identity(at_file) != self._file_id:
            return _gone(file, "was replaced by another file")
        if _identity(at_wal) != self._wal_id:
            return _gone(wal, "was replaced by another file")
        if at_file.st_size < self._file_bytes and at_file.st_size < page_bytes():
            return _cut(file)
        if at_wal.st_size < min(self._wal_bytes, self._wal_limit):
            return _cut(wal)
        if at_wal.st_size and os.pread(self._wal_fd, 4, 0) not in _WAL_MAGIC:
            return _cut(wal)
        self._file_bytes, self._wal_bytes = at_file.st_size, at_wal.st_size
        return None


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def _gone(path: Path | str, what: str) -> QueueError:
    return QueueError(
        f"{path} {what} while the sidecar runs: put it back, or restart the sidecar with a "
        "persistent data directory (CIO_DATA_DIR). Events accepted before are delivered from the "
        "open file; those that still wait when the sidecar stops are only in that file"
    )


def _cut(path: Path) -> QueueDamaged:
    return QueueDamaged(
        f"{path} was truncated or overwritten by another process: stop the sidecar, and save what "
        f"can be read with cio-sidecar queue recover --data-dir {path.parent}"
    )
