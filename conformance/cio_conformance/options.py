"""Reads the values of the commands' options: callbacks, as click has them."""

import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final

import click

from cio_conformance.fixtures import FIXTURES


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


def report_files(
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
