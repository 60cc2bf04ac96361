"""The command ``run``: golden cases, against sidecars or against the tables alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import click
from cio_sidecar.mapping.errors import TableError

from cio_conformance.cases.golden_cases import FixtureError, Golden, load_fixtures
from cio_conformance.cases.known_failures import KnownFailures, read_known
from cio_conformance.command import fail, finish, select_goldens
from cio_conformance.options import (
    credentials_options,
    filter_option,
    fixtures_option,
    overlay_option,
    patience_option,
    report_option,
)
from cio_conformance.reports.report import WRITERS
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.options import (
    Tested,
    known_option,
    reject_what_needs_a_sidecar,
    render_option,
    seed_option,
    tested_options,
)
from cio_conformance.run.result import APIS, PROFILES, Profile, Result, Setup, SidecarApi


@click.command()
@render_option
@tested_options
@click.option(
    "--profile",
    type=click.Choice(PROFILES),
    help="The profile whose cases to run. With --target it is the target's (standard if not "
    "given); else all.",
)
@click.option(
    "--api",
    type=click.Choice(get_args(SidecarApi)),
    help="The API whose goldens hold: v1, or auto for batches of v2. With --target it is the "
    "target's (auto if not given); else all.",
)
@credentials_options
@filter_option
@fixtures_option
@overlay_option
@report_option(WRITERS)
@patience_option
@known_option
@seed_option
@click.pass_context
def run(
    context: click.Context,
    /,
    *,
    render: bool,
    profile: Profile | None,
    api: SidecarApi | None,
    site_id: str,
    api_key: str,
    pattern: str | None,
    fixtures: Path,
    overlay: Path | None,
    known_failing: Path | None,
    seed: int,
    reports: list[tuple[str, Path]],
    patience: float,
    **what: Any,
) -> None:
    """Run the cases.

    Exit 0 if all passed, 1 if one failed, 2 if the suite can't run.
    """
    apis = [api] if api else APIS
    if render:
        reject_what_needs_a_sidecar(context)
        goldens = select_goldens(fixtures, pattern, profile)
        known = _known(known_failing, fixtures)
        results, rate = _run_directly(goldens, apis, overlay, seed)
        finish(known.judge(results) if known else results, reports, told=rate)
    from cio_conformance.run.caller import TargetError
    from cio_conformance.run.processes import ended_by_sigterm
    from cio_conformance.run.suite import run_started, run_target

    tested = Tested(overlay=overlay, **what)
    launch, via = tested.launch(), tested.via()
    goldens = select_goldens(fixtures, pattern, profile or ("standard" if tested.target else None))
    credentials = Credentials(site_id, api_key)
    notes: list[str] = []
    known = _known(known_failing, fixtures)
    try:
        if tested.target and tested.fake_listen:
            results = run_target(
                goldens,
                Setup(profile or "standard", api or "auto"),
                address=tested.target,
                fake_host=tested.fake_listen[0],
                fake_port=tested.fake_listen[1],
                credentials=credentials,
                patience_seconds=patience,
                tls=tested.tls(),
                seed=seed,
                via=via,
            )
        else:
            with ended_by_sigterm():
                results = run_started(
                    goldens,
                    apis=apis,
                    overlay=overlay,
                    credentials=credentials,
                    patience_seconds=patience,
                    launch=launch,
                    seed=seed,
                    note=notes.append,
                    via=via,
                )
    except TargetError as error:
        fail(error)
    results = known.judge(results) if known else results
    finish(results, reports, notes, told=_loose(results))


def _run_directly(
    goldens: Sequence[Golden], apis: Sequence[SidecarApi], overlay: Path | None, seed: int
) -> tuple[list[Result], str]:
    from cio_conformance.workbench.in_process import Mappers, run_direct

    try:
        ran = run_direct(goldens, apis=apis, mappers=Mappers(overlay), seed=seed)
    except TableError as error:
        fail(error)
    return ran.results, str(ran)


def _known(file: Path | None, fixtures: Path) -> KnownFailures | None:
    try:
        return read_known(file, load_fixtures(fixtures)) if file else None
    except FixtureError as error:
        fail(error)


def _loose(results: Sequence[Result]) -> str:
    """What became of the cases that could not be sent; empty if all could."""
    loose = [result for result in results if result.golden.family.needs == "json"]
    if not loose:
        return ""
    families = ", ".join(sorted({result.golden.family.family for result in loose}))
    how = "skipped" if loose[0].outcome == "skipped" else "run in direct mode"
    return f"left to render: {len(loose)} of {families}, {how}"
