"""The errors of the queue, and what a failure of the database means to an operator."""

import errno
import sqlite3
from pathlib import Path
from typing import Final

_OF_DAMAGE: Final = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_TOOBIG")
_OF_THE_DISK: Final = ("SQLITE_IOERR", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")


class QueueError(Exception):
    """The queue can't do what was asked; nothing was changed. ``str()`` says why and what to do."""


class QueueDamaged(QueueError):  # noqa: N818 (named for the condition)
    """A part of the file can't be read or changed; other parts may be good."""


class QueueFull(QueueError):  # noqa: N818 (named for the condition, as in asyncio)
    """The queue has reached its limit; try again when events have been delivered."""


def is_damage(error: BaseException) -> bool:
    """Whether a part of the file is damaged; other parts may be good."""
    return error_name(error).startswith(_OF_DAMAGE) or (
        # Python's own error, for text that was overwritten.
        isinstance(error, sqlite3.OperationalError) and "Could not decode" in str(error)
    )


def is_of_the_disk(error: BaseException) -> bool:
    """Whether the next transaction is bound to fail as well: it is nothing of the job's."""
    return error_name(error).startswith(_OF_THE_DISK) or isinstance(error, OSError)


def is_of_the_file(error: BaseException) -> bool:
    """Whether the file or its disk failed, in any way; else it is a mistake within the job."""
    return is_damage(error) or is_of_the_disk(error) or error_name(error) == "SQLITE_FULL"


def queue_error(error: Exception, path: Path) -> QueueError:
    """A failure as a QueueError that says what to do."""
    if isinstance(error, OSError) and error.errno is not None:
        return os_error(error, path)
    return (QueueDamaged if is_damage(error) else QueueError)(_explain(error, path))


def os_error(error: OSError, path: Path) -> QueueError:
    """A failure of the operating system as a QueueError that says what to do."""
    what = error.strerror or str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return QueueError(
            f"{path} can't be written, the disk is full or has no free inodes ({what}): free some "
            "space"
        )
    if error.errno == errno.EROFS:
        return QueueError(
            f"{path} can't be written, its file system is read-only: mount it for writing, or set "
            "CIO_DATA_DIR"
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return QueueError(
            f"{path} can't be opened ({what}): let the sidecar's user read and write it and its "
            "directory, or set CIO_DATA_DIR"
        )
    return QueueError(f"{path} can't be opened for writing ({what}): check CIO_DATA_DIR")


def unreadable(path: Path, why: str) -> QueueError:
    """Nothing can be read of a file, so there is nothing to recover."""
    return QueueError(
        f"{path} {why}, and nothing can be recovered from it: move it away together with "
        f"{path.name}-wal (or restore a backup) and start again. Events in it may be lost"
    )


def error_name(error: BaseException) -> str:
    """SQLite's name of an error, such as SQLITE_FULL; empty where it has none."""
    return getattr(error, "sqlite_errorname", None) or ""


def _explain(error: Exception, path: Path) -> str:
    name = error_name(error)
    detail = f"{error}, {name}" if name else str(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        return (
            f"{path} is in use by another cio-sidecar: stop it, or give this one its own "
            "data directory (CIO_DATA_DIR)"
        )
    if name == "SQLITE_FULL":
        return f"{path} can't be written, the disk is full ({detail}): free some space"
    if name.startswith("SQLITE_IOERR_READ"):
        return f"{path} can't be read, the disk is failing ({detail}): check the disk"
    if name.startswith("SQLITE_IOERR"):
        return (
            f"{path} can't be written, the disk is full or failing ({detail}): free some space, "
            "and check the disk"
        )
    if is_damage(error):
        return (
            f"{path} is damaged ({detail}): stop the sidecar and save what can be read with "
            f"cio-sidecar queue recover --data-dir {path.parent}"
        )
    if is_of_the_disk(error):
        return f"{path} can't be opened for writing ({detail}): check CIO_DATA_DIR"
    if isinstance(error, sqlite3.OperationalError):
        return f"{path} is not a queue of cio-sidecar ({error}): check CIO_DATA_DIR"
    return f"{path}: {type(error).__name__}: {error}"
