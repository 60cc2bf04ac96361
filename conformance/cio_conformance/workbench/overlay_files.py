"""A user's own tables, as files."""

from pathlib import Path

from cio_sidecar.mapping.errors import Mistake, TableError


def own_tables(folder: Path | None) -> list[tuple[str, str]]:
    """Name and text of each file of a folder of a user's own tables; none without a folder.

    Raises TableError where one can't be read.
    """
    files: list[tuple[str, str]] = []
    mistakes: list[Mistake] = []
    for path in sorted(folder.glob("*.yaml")) if folder else ():
        try:
            files.append((str(path), path.read_text("utf-8")))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            mistakes.append(Mistake(str(path), 1, None, f"can't be read: {why}"))
    if mistakes:
        raise TableError(mistakes)
    return files
