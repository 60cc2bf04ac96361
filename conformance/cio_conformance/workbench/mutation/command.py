"""The command ``cio-conformance mutate``."""

import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import click
from cio_sidecar.mapping.errors import TableError

from cio_conformance.cases.golden_cases import FIXTURES, FixtureError, load_fixtures
from cio_conformance.command import EXIT_TROUBLE, fail
from cio_conformance.options import regex
from cio_conformance.run.result import Profile
from cio_conformance.workbench.mutation.encoder_mutants import encoder_mutants
from cio_conformance.workbench.mutation.equivalents import (
    EQUIVALENTS,
    EquivalentsError,
    load_equivalents,
)
from cio_conformance.workbench.mutation.fake_cases import FakeBench, load_fake_cases
from cio_conformance.workbench.mutation.fake_mutants import PREFIX, fake_mutants
from cio_conformance.workbench.mutation.render_cases import Bench
from cio_conformance.workbench.mutation.run import Killer, processors, try_mutants
from cio_conformance.workbench.mutation.table_mutants import table_mutants
from cio_conformance.workbench.overlay_files import own_tables

_EXIT_SURVIVED: Final = 1


@click.command()
@click.option(
    "--filter",
    "pattern",
    metavar="REGEX",
    callback=regex,
    help="Only mutants whose name holds this, in whatever case.",
)
@click.option("--list", "lists", is_flag=True, help="Show the mutants' names, and try none.")
@click.option(
    "--profile",
    type=click.Choice(["documented", "standard"]),
    help="Only this profile's tables and cases; the encoders are left alone.",
)
@click.option(
    "--fixtures",
    type=click.Path(path_type=Path),
    default=FIXTURES,
    help="Folder of the golden cases (*.yaml); the suite's own if not given.",
)
@click.option(
    "--overlay",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder of your own tables (*.yaml): their rows alone are changed.",
)
@click.option(
    "--equivalents",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="List of the mutants that are equivalent; the suite's own if not given, none for your "
    "own tables.",
)
@click.option(
    "--fake",
    "of_fake",
    is_flag=True,
    help="Change the rules of the fake Customer.io instead; its cases are in fake_cases.yaml.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=processors,
    help="How many processes try mutants.",
)
def mutate(
    *,
    pattern: str | None,
    lists: bool,
    profile: Profile | None,
    fixtures: Path,
    overlay: Path | None,
    equivalents: Path | None,
    of_fake: bool,
    jobs: int,
) -> None:
    """Prove that the cases tell of every rule that is changed.

    Changes each row of the tables and each rule of the encoders, one at a time, and looks for a
    case that comes out otherwise.

    Exit 0 if every change is told of or listed as equivalent, 1 if not, 2 if the suite can't run.
    """
    if of_fake and (overlay or profile):
        raise click.UsageError("--fake has neither --overlay nor --profile")
    try:
        mutants, killer = _of_fake() if of_fake else _of_mapping(fixtures, overlay, profile)
        path = equivalents or (None if overlay else EQUIVALENTS)
        listed = load_equivalents(path) if path else {}
    except (FixtureError, TableError, EquivalentsError) as error:
        fail(error)
    chosen = [each for each in mutants if re.search(pattern or "", each.name, re.IGNORECASE)]
    if not chosen:
        raise click.UsageError("no mutant matches --filter")
    if lists:
        click.echo("\n".join(mutant.name for mutant in chosen))
        return
    # One list is for both kinds.
    reasons = {name: why for name, why in listed.items() if name.startswith(PREFIX) == of_fake}
    # With a profile some are not made.
    everything = [*reasons] if profile else [mutant.name for mutant in mutants]
    verdict = try_mutants(chosen, killer, reasons, known=everything, jobs=jobs)
    _show("survived", verdict.survived)
    _show("stale in the list of equivalents", verdict.stale)
    click.echo(verdict)
    if not verdict.passed:
        sys.exit(_EXIT_SURVIVED)


def _of_mapping(
    fixtures: Path, overlay: Path | None, profile: Profile | None
) -> tuple[Sequence[Any], Killer]:
    """The mutants of tables and encoders, and what tells of them. Exits where the cases are wrong
    as it is. Raises FixtureError and TableError.
    """
    files = own_tables(overlay)
    goldens = [
        golden for golden in load_fixtures(fixtures) if profile in (None, golden.case.profile)
    ]
    bench = Bench(goldens, files)
    if wrong := bench.wrong():
        _show("not as its golden says, without any change", wrong)
        sys.exit(EXIT_TROUBLE)
    mutants: list[Any] = [*table_mutants(bench.tables(), {name for name, _ in files})]
    if not overlay and not profile:
        mutants += encoder_mutants()
    return mutants, bench.killer


def _of_fake() -> tuple[Sequence[Any], Killer]:
    """The mutants of the fake's rules, and what tells of them. Exits where the cases are wrong as
    it is. Raises FixtureError.
    """
    mutants = fake_mutants()
    bench = FakeBench(load_fake_cases())
    wrong = [*bench.wrong(), *bench.unknown([mutant.name for mutant in mutants])]
    if wrong:
        _show("wrong without any change, or of no rule", wrong)
        sys.exit(EXIT_TROUBLE)
    return mutants, bench.killer


def _show(what: str, names: Iterable[str]) -> None:
    for name in names:
        click.echo(f"{what}: {name}")
