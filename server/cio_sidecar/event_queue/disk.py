"""The disk that a queue is on: how much of it is free, and whether it can be written."""

import errno
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, NamedTuple

_LOOK_EVERY_SECONDS: Final = 0.5
_LOOK_EVERY_BYTES: Final = 16 * 1024 * 1024
_KEPT_SHARE: Final = 10
_TRIAL_BYTES: Final = 1024 * 1024


class Shortage(NamedTuple):
    """Too little is free."""

    free_bytes: int
    kept_bytes: int
    """How much is to stay free."""


class Disk:
    """The disk of a folder."""

    def __init__(
        self, folder: Path, *, min_free_bytes: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """``min_free_bytes`` are kept free, or a tenth of the disk where that is less; 0: none.

        ``clock`` is monotonic, in seconds.
        """
        self._folder = folder
        self._min_free_bytes = min_free_bytes
        self._clock = clock
        self._looked_at = float("-inf")
        self._found: Shortage | None = None
        self._written = 0

    def free_bytes(self) -> int:
        """How many bytes this process can still write. Raises OSError."""
        found = os.statvfs(self._folder)
        return found.f_bavail * found.f_frsize

    def shortage_with(self, size: int) -> Shortage | None:
        """Whether too little is free once ``size`` bytes more are written.

        It asks the system now and then alone, and counts meanwhile what it was asked about.
        """
        if not self._min_free_bytes:
            return None
        self._written += size
        now = self._clock()
        if now - self._looked_at >= _LOOK_EVERY_SECONDS or self._written >= _LOOK_EVERY_BYTES:
            self._looked_at = now
            self._written = size
            self._found = self._look()
        if self._found is None:
            return None
        left = self._found.free_bytes - self._written
        return self._found if left < self._found.kept_bytes else None

    def _look(self) -> Shortage | None:
        try:
            found = os.statvfs(self._folder)
        except OSError:
            # Whether it can be written, the write itself will tell.
            return None
        kept = min(self._min_free_bytes, found.f_blocks * found.f_frsize // _KEPT_SHARE)
        return Shortage(found.f_bavail * found.f_frsize, kept)

    def try_out(self) -> None:
        """Write a file of a megabyte, and remove it. Raises OSError.

        A small transaction would tell little: it may find room within the files that there are.
        """
        # A new file of a name that nobody can foresee: no link is followed, no file overwritten.
        fd, name = tempfile.mkstemp(prefix="trial-", dir=self._folder)
        try:
            # At once: a process that is killed leaves nothing behind.
            Path(name).unlink()
            written = os.write(fd, bytes(_TRIAL_BYTES))
            os.fsync(fd)
        finally:
            os.close(fd)
        if written < _TRIAL_BYTES:
            raise OSError(
                errno.ENOSPC, f"only {written:,} bytes could be written", str(self._folder)
            )
