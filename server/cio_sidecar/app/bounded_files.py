"""Reads files that a user names: regular files of bounded size, never a FIFO or a device."""

import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 1_000_000
"""Maximum size of a file in bytes."""


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """The content of a regular file; symbolic links are followed.

    Raises OSError (``strerror`` says why, ``filename`` names the file) if the file can't be read,
    is not a regular file, or is larger than ``max_bytes``.
    """
    # Opening a FIFO would wait for its writer.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb", closefd=True) as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "expected a regular file", str(path))
        # The size that is reported may be wrong (/proc) or change.
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(0, f"larger than {max_bytes:,} bytes", str(path))
    return content


def read_text(path: Path, max_bytes: int = MAX_BYTES) -> str:
    """The same as UTF-8 text. Raises UnicodeDecodeError too."""
    return read_bytes(path, max_bytes).decode()
