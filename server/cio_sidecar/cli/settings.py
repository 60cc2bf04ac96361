"""The options for settings, and the settings that they make."""

from collections.abc import Callable, Collection, Iterable
from itertools import chain
from pathlib import Path
from typing import Any, Final

import click
from pydantic_core import PydanticUndefined

from cio_sidecar.app.config import ENV_PREFIX, GROUPS, SECRETS, ConfigError, Settings, load_settings
from cio_sidecar.app.tables import load_tables
from cio_sidecar.cli.options import EXIT_USAGE, fail
from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping_options import MappingOptions

_Command = Callable[..., Any]

FLAGS: Final = tuple(name for name in chain(*GROUPS.values()) if name not in SECRETS)
"""The settings that are also flags."""
MAPPING_FLAGS: Final = ("profile", "overlay", *MappingOptions.model_fields)
"""The settings that change what events become."""


def settings_options(names: Iterable[str]) -> Callable[[_Command], _Command]:
    """Add an option for each of these settings to a command, and ``--config``."""

    def decorate(command: _Command) -> _Command:
        for name in reversed([*names]):
            setting = Settings.model_fields[name]
            default = setting.default
            shown = (
                "" if default in (None, "", (), PydanticUndefined) else f"  [default: {default}]"
            )
            command = click.option(
                f"--{name.replace('_', '-')}", name, help=f"{setting.description}{shown}"
            )(command)
        return click.option(
            "--config",
            type=click.Path(path_type=Path),
            envvar=f"{ENV_PREFIX}CONFIG",
            help="Settings file, TOML (.toml) or YAML.",
        )(command)

    return decorate


def settings_from(
    config: Path | None,
    flags: dict[str, Any],
    check: Callable[[Settings, Collection[str]], list[str]] | None = None,
) -> Settings:
    """Load the settings, or end the command with every problem. ``check``: see load_settings."""
    try:
        given = {name: value for name, value in flags.items() if value is not None}
        return load_settings(given, config, check)
    except ConfigError as error:
        fail(error, EXIT_USAGE)


def tables_from(settings: Settings) -> TableSet:
    """Load the tables that the settings name, or end the command with every problem."""
    try:
        return load_tables(settings)
    except ConfigError as error:
        fail(error, EXIT_USAGE)
