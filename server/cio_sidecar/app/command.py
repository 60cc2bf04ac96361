"""What the commands have in common: how they end, and where their sidecar is."""

import sys
from collections.abc import Callable
from typing import Any, Final, NoReturn, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])

EXIT_REFUSED: Final = 1
"""Some events were refused."""
EXIT_USAGE: Final = 2
"""A setting, an option or an argument can't be used."""
EXIT_UNAVAILABLE: Final = 3
"""The sidecar can't be reached, or could not do what was asked."""


def fail(error: Exception | str, code: int) -> NoReturn:
    """Say what is wrong on standard error, and exit."""
    click.echo(f"cio-sidecar: {error}", err=True)
    sys.exit(code)


def target_option(command: _Command) -> _Command:
    """Give a command the option ``--target``."""
    return click.option(
        "--target",
        default="127.0.0.1:50051",
        show_default=True,
        envvar="CIO_LISTEN",
        help="Where the sidecar listens: host:port or unix:PATH.",
    )(command)
