"""The command ``coverage``: shows what the cases prove, and says whether it is enough."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from cio_conformance.coverage import Coverage
from cio_conformance.matrix.page import write_html
from cio_conformance.matrix.text import print_matrix, write_markdown

MATRIX_WRITERS: Final[dict[str, Callable[[Coverage, Path], None]]] = {
    "html": write_html,
    "markdown": write_markdown,
}
"""How to write each kind of report of the matrix."""


def show(coverage: Coverage, console: Console, *, strict: bool) -> bool:
    """Print the matrix, every mistake and every gap; whether there is neither.

    ``strict``: every applicable state needs a case; else a positive and a negative do.
    """
    print_matrix(coverage, console)
    for mistake in coverage.mistakes:
        click.echo(f"mistake: {mistake}")
    gaps = {row.name: gaps for row in coverage.rows if (gaps := row.gaps(strict=strict))}
    for name, found in gaps.items():
        if strict:
            click.echo(f"not covered: {name}: {', '.join(found)}")
        else:
            click.echo(f"not covered: {name} lacks a {' and a '.join(found)} case")
    covered, uncovered, idle = coverage.totals()
    click.echo(f"{covered} states covered, {uncovered} not covered, {idle} not applicable")
    click.echo(
        f"{len(coverage.rows)} rows, {len(gaps)} not covered, {len(coverage.mistakes)} mistakes"
    )
    return not gaps and not coverage.mistakes
