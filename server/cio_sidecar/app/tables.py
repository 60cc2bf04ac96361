"""Reads the tables that the settings name."""

from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.mapping.profiles import TableSet, load_profile


def load_tables(settings: Settings) -> TableSet:
    """Load the profile, and the overlay folder's ``*.yaml`` by name. Raises ConfigError."""
    overlay = settings.overlay
    files: list[tuple[str, str]] = []
    if overlay is not None:
        if not overlay.is_dir():
            raise ConfigError(f"CIO_OVERLAY: there is no folder {overlay}")
        for path in sorted(overlay.glob("*.yaml")):
            try:
                files.append((str(path), path.read_text("utf-8")))
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigError(f"CIO_OVERLAY: can't read {path}: {error}") from None
        if not files:
            raise ConfigError(f"CIO_OVERLAY: the folder {overlay} holds no tables (*.yaml)")
    try:
        return load_profile(settings.profile, files, settings.options)
    except TableError as error:
        raise ConfigError(str(error)) from None
