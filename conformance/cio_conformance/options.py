"""The options that several commands have, and how their values are read."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Final

import click

from cio_conformance.cases.golden_cases import FIXTURES
from cio_conformance.run.credentials import DEFAULT


def address(_: click.Context, __: click.Parameter, value: str | None) -> tuple[str, int] | None:
    """Take ``host:port`` apart; an IPv6 host may stand in brackets."""
    if value is None:
        return None
    host, port = value.rpartition(":")[::2]
    if not host or not re.fullmatch(r"[0-9]{1,5}", port) or int(port) > 65535:
        raise click.BadParameter(f"expected host:port, such as 127.0.0.1:8099, got {value!r}")
    return host.removeprefix("[").removesuffix("]"), int(port)


def regex(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    """Check that a value is a regular expression."""
    try:
        re.compile(value or "")
    except re.error as error:
        raise click.BadParameter(f"{value!r} is no regular expression: {error}") from None
    return value


def _report_files(
    kinds: Collection[str],
) -> Callable[[click.Context, click.Parameter, tuple[str, ...]], list[tuple[str, Path]]]:
    """Take each ``KIND=PATH`` apart, and check kind and folder before the run, not after it."""

    def read(
        _: click.Context, __: click.Parameter, values: tuple[str, ...]
    ) -> list[tuple[str, Path]]:
        files: list[tuple[str, Path]] = []
        for value in values:
            kind, path = value.partition("=")[::2]
            if kind not in kinds or not path:
                known = " or ".join(f"{kind}=PATH" for kind in kinds)
                raise click.BadParameter(f"expected {known}, got {value!r}")
            if not Path(path).absolute().parent.is_dir():
                raise click.BadParameter(f"there is no folder {Path(path).parent} for the report")
            files.append((kind, Path(path)))
        return files

    return read


filter_option: Final = click.option(
    "--filter",
    "pattern",
    metavar="REGEX",
    callback=regex,
    help="Only cases whose name (family: case) holds this, in whatever case.",
)

fixtures_option: Final = click.option(
    "--fixtures",
    type=click.Path(path_type=Path),
    default=FIXTURES,
    help="Folder of the golden cases (*.yaml); the suite's own if not given.",
)

overlay_option: Final = click.option(
    "--overlay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of your own tables (*.yaml), which extend the profile's.",
)

patience_option: Final = click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="How long a call, or a request's way to Customer.io, may take, in seconds.",
)


def report_option(kinds: Collection[str]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Where to write reports, and of which kinds, as ``reports``."""
    *some, last = (f"{kind}=PATH" for kind in kinds)
    return click.option(
        "--report",
        "reports",
        multiple=True,
        metavar="KIND=PATH",
        callback=_report_files(kinds),
        help=f"Also write {', '.join(some)} or {last}; may be given again.",
    )


def credentials_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """What the fake takes as ``api_key`` and ``site_id``."""
    for flag, default, what in (
        ("--api-key", DEFAULT.api_key, "API key"),
        ("--site-id", DEFAULT.site_id, "Site id"),
    ):
        command = click.option(
            flag, default=default, show_default=True, help=f"{what} that the fake takes."
        )(command)
    return command
