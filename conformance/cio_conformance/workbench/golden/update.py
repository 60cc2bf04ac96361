"""``cio-conformance update``: the goldens of cases that fail become what the tables now give."""

import difflib
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import click
from cio_sidecar.mapping.errors import TableError
from rich.console import Console
from rich.text import Text

from cio_conformance.cases.golden_cases import (
    FixtureError,
    Golden,
    load_fixtures,
    parse_fixtures,
    select,
)
from cio_conformance.cases.known_failures import KnownFailures, read_known
from cio_conformance.command import EXIT_TROUBLE, console, fail
from cio_conformance.options import filter_option, fixtures_option, overlay_option
from cio_conformance.run.options import known_option
from cio_conformance.run.result import APIS
from cio_conformance.workbench.coverage.claims import untrue_claims
from cio_conformance.workbench.golden.current_output import NoGoldenError, Present, present
from cio_conformance.workbench.golden.file import check, read, rewritten, write
from cio_conformance.workbench.golden.splice import SpliceError
from cio_conformance.workbench.in_process import Mappers, run_direct

_EXIT_WOULD_CHANGE: Final = 1
_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}


@dataclass
class _UpdatedFile:
    """What became of a file's cases that fail."""

    path: Path
    before: str
    after: str
    found: dict[str, Present] = field(default_factory=dict)
    """What each case that is rewritten comes to, by its name in the file."""
    rejected: dict[str, str] = field(default_factory=dict)
    """Why each of the others can't be rewritten."""


@click.command()
@filter_option
@fixtures_option
@overlay_option
@known_option
@click.option(
    "--check",
    "only_check",
    is_flag=True,
    help="Show the changes and write none; exit 1 where there are any.",
)
def update(
    *,
    pattern: str | None,
    fixtures: Path,
    overlay: Path | None,
    known_failing: Path | None,
    only_check: bool,
) -> None:
    """Rewrite the goldens of cases that fail, to what the tables now give.

    Cases run as by run --render. Nothing else in a file changes; the difference is shown, to be
    reviewed. Rows that a case claims to show (covers) are not rewritten; one that it can't show is
    named. Cases that --known-failing lists are left alone.

    Exit 0 if nothing had to change or all was rewritten, 1 with --check if something would change,
    2 if a case can't be rewritten, or none can be run.
    """
    source = click.get_current_context().get_parameter_source("fixtures")
    if overlay and source is click.core.ParameterSource.DEFAULT:
        raise click.UsageError(
            "--overlay needs --fixtures: by your own tables only your own cases are updated"
        )
    try:
        everything = load_fixtures(fixtures)
        known = read_known(known_failing, everything) if known_failing else None
        goldens = select(everything, pattern)
        if not goldens:
            raise click.UsageError("no case matches --filter")
        mappers = Mappers(overlay)
        failing = _failing(goldens, mappers, known)
        files = [_updated(path, failing, mappers) for path in sorted(fixtures.glob("*.yaml"))]
    except (FixtureError, TableError) as error:
        fail(error)
    troubles = 0
    changed: list[_UpdatedFile] = []
    for file in files:
        if file.found:
            _show(file, fixtures, console())
            changed.append(file)
        for name, why in file.rejected.items():
            click.echo(f"cio-conformance: {file.path}: {name}: {why}", err=True)
            troubles += 1
    for file in () if only_check else changed:
        try:
            write(file.path, file.after, fixtures)
        except FixtureError as error:
            fail(error)
    stale = untrue_claims(
        goldens, lambda golden: mappers.of(golden.case.profile, golden.settings).tables
    )
    for claim in stale:
        click.echo(f"stale claim, fix it by hand: {claim}")
    cases = sum(len(file.found) for file in changed)
    did = "would rewrite" if only_check else "rewrote"
    where = f"{len(changed)} file{'' if len(changed) == 1 else 's'}"
    click.echo(f"{did} {cases} of {len(goldens)} cases, in {where}")
    if troubles:
        sys.exit(EXIT_TROUBLE)
    if only_check and changed:
        sys.exit(_EXIT_WOULD_CHANGE)


def _failing(goldens: Sequence[Golden], mappers: Mappers, known: KnownFailures | None) -> set[str]:
    """The names of the cases that fail, by any API, and are not known to."""
    names: set[str] = set()
    left_alone: dict[str, str] = {}
    for result in run_direct(goldens, apis=APIS, mappers=mappers).results:
        if result.outcome == "failed":
            names.add(result.golden.name)
            if known and (place := known.place(result)):
                left_alone[result.golden.name] = place
    for name, place in left_alone.items():
        click.echo(f"left alone {name}: {place} lists it as failing")
    return names - left_alone.keys()


def _updated(path: Path, failing: set[str], mappers: Mappers) -> _UpdatedFile:
    """A file with its failing cases rewritten. Raises FixtureError."""
    text = read(path)
    goldens = parse_fixtures(text, path.name)
    file = _UpdatedFile(path, text, text)
    found: dict[int, Present] = {}
    for index, golden in enumerate(goldens):
        if golden.name in failing:
            mapper = mappers.of(golden.case.profile, golden.settings)
            try:
                found[index] = present(mapper, golden.case.event)
            except NoGoldenError as error:
                file.rejected[golden.case.name] = str(error)
    if not found:
        return file
    try:
        _rewrite(file, goldens, found, mappers)
    except SpliceError:
        # One of them can't be: the others can, each by itself.
        for index, one in found.items():
            try:
                _rewrite(file, goldens, {index: one}, mappers)
            except SpliceError as error:
                why = f"can't be rewritten in place: {error}; write it by hand"
                file.rejected[goldens[index].case.name] = why
    return file


def _rewrite(
    file: _UpdatedFile, goldens: Sequence[Golden], found: dict[int, Present], mappers: Mappers
) -> None:
    """Take rewritten cases into a file's text. Raises SpliceError; then it is as it was."""
    names = {goldens[index].case.name: now for index, now in found.items()}
    after = rewritten(file.after, dict(enumerate(goldens)), found)
    changed = {*names, *file.found}
    check(after, file.path.name, goldens, changed, mappers)
    file.after = after
    file.found |= names


def _show(file: _UpdatedFile, folder: Path, screen: Console) -> None:
    shown = str(file.path.relative_to(folder))
    diff = difflib.unified_diff(
        file.before.splitlines(), file.after.splitlines(), shown, shown, lineterm="", n=2
    )
    for line in diff:
        screen.print(Text(line, style=_COLOURS.get(line[:1], "")))
    before = {golden.case.name: golden for golden in parse_fixtures(file.before, shown)}
    for name, now in file.found.items():
        golden = before[name]
        if now.reject and golden.case.expect:
            screen.print(Text.assemble(("NOW REJECTED ", "bold red"), (golden.name, "bold")))
            for words in now.told:
                screen.print(Text(f"    {words}", style="red"))
        elif now.expect and golden.case.reject:
            screen.print(Text.assemble(("now accepted ", "bold yellow"), (golden.name, "bold")))
