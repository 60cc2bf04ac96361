"""The command ``coverage``: shows what the cases prove, and says whether it is enough."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from rich.console import Console

from cio_conformance.coverage import Coverage
from cio_conformance.matrix.page import write_html
from cio_conformance.matrix.text import counts, print_matrix, write_markdown

MATRIX_WRITERS: Final[dict[str, Callable[[Coverage, Path], None]]] = {
    "html": write_html,
    "markdown": write_markdown,
}
"""How to write each kind of report of the matrix."""


def show(coverage: Coverage, console: Console) -> None:
    """Print the matrix, every mistake and every gap."""
    print_matrix(coverage, console)
    for mistake in coverage.mistakes:
        click.echo(f"mistake: {mistake}")
    for name, gaps in coverage.gaps.items():
        if coverage.strict:
            click.echo(f"not covered: {name}: {', '.join(gaps)}")
        else:
            click.echo(f"not covered: {name} lacks a {' and a '.join(gaps)} case")
    click.echo(counts(coverage))
    click.echo(
        f"{len(coverage.rows)} rows, {len(coverage.gaps)} not covered, "
        f"{len(coverage.mistakes)} mistakes"
    )
