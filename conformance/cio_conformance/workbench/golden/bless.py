"""``cio-conformance bless``: the goldens of cases that fail become what the tables now give."""

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
class _Blessing:
    """What became of a file's cases that fail."""

    path: Path
    before: str
    after: str
    found: dict[str, Present] = field(default_factory=dict)
    """What each case that is rewritten comes to, by its name in the file."""
    refused: dict[str, str] = field(default_factory=dict)
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
def bless(
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
            "--overlay needs --fixtures: by your own tables only your own cases are blessed"
        )
    try:
        everything = load_fixtures(fixtures)
        known = read_known(known_failing, everything) if known_failing else None
        goldens = select(everything, pattern)
        if not goldens:
            raise click.UsageError("no case matches --filter")
        mappers = Mappers(overlay)
        failing = _failing(goldens, mappers, known)
        blessings = [_blessed(path, failing, mappers) for path in sorted(fixtures.glob("*.yaml"))]
    except (FixtureError, TableError) as error:
        fail(error)
    troubles = 0
    changed: list[_Blessing] = []
    for blessing in blessings:
        if blessing.found:
            _show(blessing, fixtures, console())
            changed.append(blessing)
        for name, why in blessing.refused.items():
            click.echo(f"cio-conformance: {blessing.path}: {name}: {why}", err=True)
            troubles += 1
    for blessing in () if only_check else changed:
        try:
            write(blessing.path, blessing.after, fixtures)
        except FixtureError as error:
            fail(error)
    stale = untrue_claims(
        goldens, lambda golden: mappers.of(golden.case.profile, golden.settings).tables
    )
    for claim in stale:
        click.echo(f"stale claim, mend it by hand: {claim}")
    cases = sum(len(blessing.found) for blessing in changed)
    did = "would rewrite" if only_check else "rewrote"
    files = f"{len(changed)} file{'' if len(changed) == 1 else 's'}"
    click.echo(f"{did} {cases} of {len(goldens)} cases, in {files}")
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


def _blessed(path: Path, failing: set[str], mappers: Mappers) -> _Blessing:
    """A file with its failing cases rewritten. Raises FixtureError."""
    text = read(path)
    goldens = parse_fixtures(text, path.name)
    blessing = _Blessing(path, text, text)
    found: dict[int, Present] = {}
    for index, golden in enumerate(goldens):
        if golden.name in failing:
            mapper = mappers.of(golden.case.profile, golden.settings)
            try:
                found[index] = present(mapper, golden.case.event)
            except NoGoldenError as error:
                blessing.refused[golden.case.name] = str(error)
    if not found:
        return blessing
    try:
        _rewrite(blessing, goldens, found, mappers)
    except SpliceError:
        # One of them can't be: the others can, each by itself.
        for index, one in found.items():
            try:
                _rewrite(blessing, goldens, {index: one}, mappers)
            except SpliceError as error:
                why = f"can't be rewritten in place: {error}; write it by hand"
                blessing.refused[goldens[index].case.name] = why
    return blessing


def _rewrite(
    blessing: _Blessing, goldens: Sequence[Golden], found: dict[int, Present], mappers: Mappers
) -> None:
    """Take rewritten cases into a file's text. Raises SpliceError; then it is as it was."""
    names = {goldens[index].case.name: now for index, now in found.items()}
    after = rewritten(blessing.after, dict(enumerate(goldens)), found)
    changed = {*names, *blessing.found}
    check(after, blessing.path.name, goldens, changed, mappers)
    blessing.after = after
    blessing.found |= names


def _show(blessing: _Blessing, folder: Path, screen: Console) -> None:
    shown = str(blessing.path.relative_to(folder))
    diff = difflib.unified_diff(
        blessing.before.splitlines(), blessing.after.splitlines(), shown, shown, lineterm="", n=2
    )
    for line in diff:
        screen.print(Text(line, style=_COLOURS.get(line[:1], "")))
    before = {golden.case.name: golden for golden in parse_fixtures(blessing.before, shown)}
    for name, now in blessing.found.items():
        golden = before[name]
        if now.refuse and golden.case.expect:
            screen.print(Text.assemble(("NOW REFUSED ", "bold red"), (golden.name, "bold")))
            for words in now.told:
                screen.print(Text(f"    {words}", style="red"))
        elif now.expect and golden.case.refuse:
            screen.print(Text.assemble(("now accepted ", "bold yellow"), (golden.name, "bold")))
