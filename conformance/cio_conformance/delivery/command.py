"""The command ``delivery``: what comes of events while Customer.io fails."""

from pathlib import Path
from typing import get_args

import click

from cio_conformance.cases.golden_cases import FixtureError, select
from cio_conformance.command import fail, finish
from cio_conformance.options import (
    credentials_options,
    filter_option,
    patience_option,
    report_option,
)
from cio_conformance.reports.report import WRITERS
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.options import fake_listen_option, target_option
from cio_conformance.run.result import APIS, Setup, SidecarApi


@click.command()
@target_option
@fake_listen_option
@click.option(
    "--api",
    type=click.Choice(get_args(SidecarApi)),
    help="The API to send by. With --target it only names the results; else all.",
)
@credentials_options
@filter_option
@click.option(
    "--cases",
    type=click.Path(path_type=Path),
    help="Folder of the delivery cases (*.yaml); the suite's own if not given.",
)
@report_option(WRITERS)
@patience_option
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
    from cio_conformance.delivery import suite as delivery_suite
    from cio_conformance.delivery.cases import CASES, load_cases
    from cio_conformance.run.caller import TargetError

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
        fail(error)
    finish(results, reports)
