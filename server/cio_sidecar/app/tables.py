"""Reads the tables that the settings name."""

from typing import Final

from cio_sidecar.app.bounded_files import read_text
from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.mapping.authoring.profiles import TableSet, load_profile
from cio_sidecar.mapping.errors import TableError

_MAX_FILES: Final = 500
_MAX_CHARACTERS: Final = 4_000_000


def load_tables(settings: Settings) -> TableSet:
    """Load the profile, and the overlay folder's ``*.yaml`` by name. Raises ConfigError."""
    overlay = settings.overlay
    files: list[tuple[str, str]] = []
    if overlay is not None:
        if not overlay.is_dir():
            raise ConfigError(f"CIO_OVERLAY: there is no folder {overlay}")
        problems: list[str] = []
        size = 0
        paths = sorted(overlay.glob("*.yaml"))
        if len(paths) > _MAX_FILES:
            raise ConfigError(f"CIO_OVERLAY: {overlay} has over {_MAX_FILES} tables: merge them")
        for path in paths:
            try:
                text = read_text(path)
            except (OSError, UnicodeDecodeError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
                problems.append(f"CIO_OVERLAY: can't read {path}: {why}")
                continue
            size += len(text)
            if size > _MAX_CHARACTERS:
                what = f"the tables have over {_MAX_CHARACTERS:,} characters together"
                raise ConfigError(f"CIO_OVERLAY: {overlay}: {what}: remove what is not needed")
            files.append((str(path), text))
        if problems:
            raise ConfigError("\n".join(problems))
        if not files:
            raise ConfigError(f"CIO_OVERLAY: the folder {overlay} holds no tables (*.yaml)")
    try:
        return load_profile(settings.profile, files, settings.options)
    except TableError as error:
        raise ConfigError(str(error)) from None
