"""The command ``cio-conformance``."""

import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn, get_args

import click
from cio_sidecar.mapping.errors import TableError
from rich.console import Console

from cio_conformance.credentials import DEFAULT, Credentials
from cio_conformance.fixtures import FixtureError, Golden, load_fixtures, select
from cio_conformance.known import KnownFailures, read_known
from cio_conformance.options import (
    address,
    filter_option,
    fixtures_option,
    overlay_option,
    report_files,
)
from cio_conformance.origins import told as origins_told
from cio_conformance.report import WRITERS, print_results
from cio_conformance.result import APIS, PROFILES, Profile, Result, Setup, SidecarApi, summary
from cio_conformance.run_options import (
    Tested,
    fake_listen_option,
    known_option,
    refuse_what_needs_a_sidecar,
    render_option,
    seed_option,
    target_option,
    tested_options,
)
from cio_conformance.tables import own_tables

EXIT_FAILED: Final = 1
"""A case failed, or a row is not covered."""
EXIT_TROUBLE: Final = 2
"""The suite itself can't run: fixtures, options, a sidecar that is not there."""

_report_option: Final = click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="KIND=PATH",
    callback=report_files(WRITERS),
    help="Also write html=PATH, json=PATH, junit=PATH or markdown=PATH; may be given again.",
)

_patience_option: Final = click.option(
    "--patience",
    type=click.FloatRange(min=0, min_open=True),
    default=10.0,
    show_default=True,
    help="How long a call, or a request's way to Customer.io, may take, in seconds.",
)


def _credentials_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for flag, default, what in (
        ("--api-key", DEFAULT.api_key, "API key"),
        ("--site-id", DEFAULT.site_id, "Site id"),
    ):
        command = click.option(
            flag, default=default, show_default=True, help=f"{what} that the fake takes."
        )(command)
    return command


class _Commands(click.Group):
    """Loads the commands that have modules of their own when one of them is asked for: all that
    they need would take longer to load than direct mode takes.
    """

    _lazy: Final = {
        "bless": "cio_conformance.golden.bless",
        "mutate": "cio_conformance.mutation.command",
        "new": "cio_conformance.golden.new",
        "schema": "cio_conformance.schema_command",
    }

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted([*super().list_commands(ctx), *self._lazy])

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(self._lazy[cmd_name]), cmd_name)
        return command


@click.group(
    cls=_Commands,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def main() -> None:
    """Prove a sidecar against golden cases and a fake Customer.io."""


@main.command()
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
    help="The API whose goldens hold. With --target it is the target's (auto if not given); "
    "else all.",
)
@_credentials_options
@filter_option
@fixtures_option
@overlay_option
@_report_option
@_patience_option
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
        refuse_what_needs_a_sidecar(context)
        goldens = _select(fixtures, pattern, profile)
        known = _known(known_failing, fixtures)
        results, rate = _run_directly(goldens, apis, overlay, seed)
        _finish(known.judge(results) if known else results, reports, told=rate)
    from cio_conformance.caller import TargetError
    from cio_conformance.launch import ended_by_sigterm
    from cio_conformance.suite import run_started, run_target

    tested = Tested(overlay=overlay, **what)
    launch, via = tested.launch(), tested.via()
    goldens = _select(fixtures, pattern, profile or ("standard" if tested.target else None))
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
        _fail(error)
    results = known.judge(results) if known else results
    _finish(results, reports, notes, told=_loose(results))


@main.command()
@target_option
@fake_listen_option
@click.option(
    "--api",
    type=click.Choice(get_args(SidecarApi)),
    help="The API to send by. With --target it only names the results; else all.",
)
@_credentials_options
@filter_option
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    help="Folder of the delivery cases (*.yaml); the suite's own if not given.",
)
@_report_option
@_patience_option
def delivery(
    *,
    target: str | None,
    fake_listen: tuple[str, int] | None,
    api: SidecarApi | None,
    site_id: str,
    api_key: str,
    pattern: str | None,
    cases: Path | None,
    reports: list[tuple[str, Path]],
    patience: float,
) -> None:
    """Run the delivery cases: what comes of events while Customer.io fails.

    Exit 0 if all passed, 1 if one failed, 2 if the suite can't run.
    """
    from cio_conformance.caller import TargetError
    from cio_conformance.delivery import suite as delivery_suite
    from cio_conformance.delivery.cases import CASES, load_cases

    if (target is None) != (fake_listen is None):
        raise click.UsageError("--target and --fake-listen go together")
    credentials = Credentials(site_id, api_key)
    try:
        goldens = select(load_cases(cases or CASES), pattern)
        if not goldens:
            raise click.UsageError("no case matches --filter")
        if target and fake_listen:
            results = delivery_suite.run_target(
                goldens,
                Setup("standard", api or "auto"),
                address=target,
                fake_host=fake_listen[0],
                fake_port=fake_listen[1],
                credentials=credentials,
                patience_seconds=patience,
            )
        else:
            results = delivery_suite.run_started(
                goldens,
                apis=[api] if api else APIS,
                credentials=credentials,
                patience_seconds=patience,
            )
    except (FixtureError, TargetError) as error:
        _fail(error)
    _finish(results, reports)


@main.command()
@fixtures_option
@overlay_option
@click.option(
    "--strict",
    is_flag=True,
    help="Also of your own tables: every state of every row, not a positive and a negative alone.",
)
@click.option(
    "--report",
    "reports",
    multiple=True,
    metavar="KIND=PATH",
    callback=report_files(("html", "markdown")),
    help="Also write the matrix as html=PATH or markdown=PATH; may be given again.",
)
def coverage(
    *, fixtures: Path, overlay: Path | None, strict: bool, reports: list[tuple[str, Path]]
) -> None:
    """Check that the cases prove every row of every table, in each state that its value can have.

    Exit 0 if they do, 1 if not.
    """
    from cio_sidecar.mapping.profiles import load_profile

    from cio_conformance.coverage import measure
    from cio_conformance.coverage_command import MATRIX_WRITERS, show

    goldens = _select(fixtures)
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
        _fail(error)
    show(measured, _console())
    if origins := origins_told(goldens):
        click.echo(origins)
    _write(reports, lambda kind, path: MATRIX_WRITERS[kind](measured, path))
    if not measured.is_enough:
        sys.exit(EXIT_FAILED)


@main.command()
@click.option(
    "--listen", callback=address, default="127.0.0.1:8099", metavar="host:port", show_default=True
)
@_credentials_options
@click.option(
    "--rules", is_flag=True, help="Print its rules as a Markdown page, and serve nothing."
)
def fake(listen: tuple[str, int], site_id: str, api_key: str, *, rules: bool) -> None:
    """Serve the fake Customer.io alone, until Ctrl-C, and print each request."""
    if rules:
        from cio_conformance.fake.rule_table import table

        click.echo(table(), nl=False)
        return
    from cio_conformance.caller import TargetError
    from cio_conformance.fake_command import serve_fake

    try:
        serve_fake(*listen, Credentials(site_id, api_key), click.echo)
    except TargetError as error:
        _fail(error)


def _run_directly(
    goldens: Sequence[Golden], apis: Sequence[SidecarApi], overlay: Path | None, seed: int
) -> tuple[list[Result], str]:
    from cio_conformance.direct import Mappers, run_direct

    try:
        ran = run_direct(goldens, apis=apis, mappers=Mappers(overlay), seed=seed)
    except TableError as error:
        _fail(error)
    return ran.results, str(ran)


def _known(file: Path | None, fixtures: Path) -> KnownFailures | None:
    try:
        return read_known(file, load_fixtures(fixtures)) if file else None
    except FixtureError as error:
        _fail(error)


def _select(
    fixtures: Path, pattern: str | None = None, profile: Profile | None = None
) -> list[Golden]:
    try:
        selected = [
            golden
            for golden in select(load_fixtures(fixtures), pattern)
            if profile in (None, golden.case.profile)
        ]
    except FixtureError as error:
        _fail(error)
    if not selected:
        raise click.UsageError("no case matches --filter and --profile")
    return selected


def _finish(
    results: list[Result],
    reports: list[tuple[str, Path]],
    notes: Sequence[str] = (),
    *,
    told: str = "",
) -> NoReturn:
    """Show the results and end; ``notes`` where one failed, and ``told`` in any case."""
    print_results(results, _console())
    failed = any(result.outcome == "failed" for result in results)
    for note in notes if failed else ():
        click.echo(note)
    if told:
        click.echo(told)
    click.echo(summary(results))
    _write(reports, lambda kind, path: WRITERS[kind](results, path))
    sys.exit(EXIT_FAILED if failed else 0)


def _loose(results: Sequence[Result]) -> str:
    """What became of the cases that could not be sent; empty if all could."""
    loose = [result for result in results if result.golden.family.needs == "json"]
    if not loose:
        return ""
    families = ", ".join(sorted({result.golden.family.family for result in loose}))
    how = "skipped" if loose[0].outcome == "skipped" else "run in direct mode"
    return f"left to render: {len(loose)} of {families}, {how}"


def _write(reports: list[tuple[str, Path]], write: Callable[[str, Path], None]) -> None:
    for kind, path in reports:
        try:
            write(kind, path)
        except OSError as error:
            _fail(click.ClickException(f"{path}: can't be written: {error.strerror}"))


def _console() -> Console:
    return Console(highlight=False, soft_wrap=True)


def _fail(error: Exception) -> NoReturn:
    click.echo(f"cio-conformance: {error}", err=True)
    sys.exit(EXIT_TROUBLE)
