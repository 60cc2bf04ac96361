"""What the commands have in common: how they end, and where their sidecar is."""

import functools
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import click

_Command = Callable[..., Any]
_FILE: Final = click.Path(exists=True, dir_okay=False, path_type=Path)

EXIT_REJECTED: Final = 1
"""Some events were rejected."""
EXIT_USAGE: Final = 2
"""A setting, an option or an argument can't be used."""
EXIT_UNAVAILABLE: Final = 3
"""The sidecar can't be reached, or could not do what was asked."""


def fail(error: Exception | str, code: int) -> NoReturn:
    """Say what is wrong on standard error, and exit."""
    click.echo(f"cio-sidecar: {error}", err=True)
    sys.exit(code)


def require_input() -> None:
    """End the command if standard input is closed."""
    if sys.stdin is None:
        fail("standard input is closed: expected events, one JSON object per line", EXIT_USAGE)


class Target(NamedTuple):
    """Where a sidecar listens, and how it is reached."""

    address: str
    """``host:port`` or ``unix:PATH``."""
    tls_ca: Path | None = None
    """Whose certificates are trusted (PEM); None for plain text."""
    tls_cert: Path | None = None
    """The certificate to show (PEM)."""
    tls_key: Path | None = None


def target_option(command: _Command) -> Any:
    """Give a command the option ``--target`` and those of TLS, as one argument ``target``."""

    @functools.wraps(command)
    def with_target(
        *,
        target: str,
        tls_ca: Path | None,
        tls_cert: Path | None,
        tls_key: Path | None,
        **given: Any,
    ) -> Any:
        if (tls_cert is None) != (tls_key is None):
            raise click.UsageError("--tls-cert and --tls-key go together")
        if tls_cert and not tls_ca:
            raise click.UsageError("--tls-cert and --tls-key need --tls-ca")
        return command(target=Target(target, tls_ca, tls_cert, tls_key), **given)

    decorated: Any = with_target
    for option in (
        click.option("--tls-key", type=_FILE, help="The key of --tls-cert (PEM)."),
        click.option(
            "--tls-cert", type=_FILE, help="The certificate to show to a sidecar that asks (PEM)."
        ),
        click.option(
            "--tls-ca",
            type=_FILE,
            help="Reach the sidecar by TLS, and trust the certificates of this file (PEM).",
        ),
        click.option(
            "--target",
            default="127.0.0.1:50051",
            show_default="CIO_LISTEN, else 127.0.0.1:50051",
            envvar="CIO_LISTEN",
            help="Where the sidecar listens: host:port or unix:PATH.",
        ),
    ):
        decorated = option(decorated)
    return decorated
