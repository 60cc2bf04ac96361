"""What the commands share: choosing cases, showing results, and ending with an exit code."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, NoReturn

import click
from rich.console import Console

from cio_conformance.cases.golden_cases import FixtureError, Golden, load_fixtures, select
from cio_conformance.reports.report import WRITERS, print_results
from cio_conformance.run.result import Profile, Result, summary

EXIT_FAILED: Final = 1
"""A case failed, or a row is not covered."""
EXIT_TROUBLE: Final = 2
"""The suite itself can't run: fixtures, options, a sidecar that is not there."""


def select_goldens(
    fixtures: Path, pattern: str | None = None, profile: Profile | None = None
) -> list[Golden]:
    """The cases to run; ends the command where there are none, or a file has a mistake."""
    try:
        selected = [
            golden
            for golden in select(load_fixtures(fixtures), pattern)
            if profile in (None, golden.case.profile)
        ]
    except FixtureError as error:
        fail(error)
    if not selected:
        raise click.UsageError("no case matches --filter and --profile")
    return selected


def finish(
    results: list[Result],
    reports: list[tuple[str, Path]],
    notes: Sequence[str] = (),
    *,
    told: str = "",
) -> NoReturn:
    """Show the results and end; ``notes`` where one failed, and ``told`` in any case."""
    print_results(results, console())
    failed = any(result.outcome == "failed" for result in results)
    for note in notes if failed else ():
        click.echo(note)
    if told:
        click.echo(told)
    click.echo(summary(results))
    write_reports(reports, lambda kind, path: WRITERS[kind](results, path))
    sys.exit(EXIT_FAILED if failed else 0)


def write_reports(reports: list[tuple[str, Path]], write: Callable[[str, Path], None]) -> None:
    """Write each report; ends the command where one can't be written."""
    for kind, path in reports:
        try:
            write(kind, path)
        except OSError as error:
            fail(click.ClickException(f"{path}: can't be written: {error.strerror}"))


def console() -> Console:
    """Standard output, as results are shown on it."""
    return Console(highlight=False, soft_wrap=True)


def fail(error: Exception | str) -> NoReturn:
    """End the command: the suite can't run."""
    click.echo(f"cio-conformance: {error}", err=True)
    sys.exit(EXIT_TROUBLE)
