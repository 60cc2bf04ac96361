"""The command ``coverage``: what the cases prove of every row, and whether it is enough."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import click
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping.errors import TableError
from rich.console import Console

from cio_conformance.cases.origins import told
from cio_conformance.command import EXIT_FAILED, console, fail, select_goldens, write_reports
from cio_conformance.options import fixtures_option, overlay_option, report_option
from cio_conformance.run.result import PROFILES
from cio_conformance.workbench.coverage.html import write_html
from cio_conformance.workbench.coverage.measure import Coverage, measure
from cio_conformance.workbench.coverage.text import counts, print_matrix, write_markdown
from cio_conformance.workbench.overlay_files import own_tables

MATRIX_WRITERS: Final[dict[str, Callable[[Coverage, Path], None]]] = {
    "html": write_html,
    "markdown": write_markdown,
}
"""How to write each kind of report of the matrix."""


@click.command()
@fixtures_option
@overlay_option
@click.option(
    "--strict",
    is_flag=True,
    help="Also of your own tables: every state of every row, not a positive and a negative alone.",
)
@report_option(MATRIX_WRITERS)
def coverage(
    *, fixtures: Path, overlay: Path | None, strict: bool, reports: list[tuple[str, Path]]
) -> None:
    """Check that the cases prove every row of every table, in each state that its value can have.

    Exit 0 if they do, 1 if not.
    """
    goldens = select_goldens(fixtures)
    # An overlay may fit one profile alone: that of its cases.
    used = {golden.case.profile for golden in goldens} if overlay else {*PROFILES}
    try:
        files = own_tables(overlay)
        measured = measure(
            goldens,
            lambda profile, options: load_profile(profile, files, options),
            [profile for profile in PROFILES if profile in used],
            {name for name, _ in files},
            strict=strict or not overlay,
        )
    except TableError as error:
        fail(error)
    _show(measured, console())
    if origins := told(goldens):
        click.echo(origins)
    write_reports(reports, lambda kind, path: MATRIX_WRITERS[kind](measured, path))
    if not measured.is_enough:
        sys.exit(EXIT_FAILED)


def _show(coverage: Coverage, console: Console) -> None:
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
