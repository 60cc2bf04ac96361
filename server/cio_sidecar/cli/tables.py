"""``cio-sidecar tables``: look at the mapping tables, and check your own."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click
import orjson

from cio_sidecar.cli import tables_format
from cio_sidecar.cli.options import EXIT_USAGE, fail
from cio_sidecar.cli.settings import MAPPING_FLAGS, settings_from, settings_options, tables_from
from cio_sidecar.mapping.authoring.json_schema import table_schema

_WITHOUT_OVERLAY = [name for name in MAPPING_FLAGS if name != "overlay"]


@click.group()
def tables() -> None:
    """List, show, check and compare mapping tables."""


@tables.command("list")
@settings_options(MAPPING_FLAGS)
def list_tables(config: Path | None, **flags: Any) -> None:
    """List the effective tables."""
    _print(tables_format.summary(tables_from(settings_from(config, flags))))


@tables.command("show")
@click.argument("name", required=False)
@settings_options(MAPPING_FLAGS)
def show_table(name: str | None, config: Path | None, **flags: Any) -> None:
    """Show the effective rows of the table NAME, or of all, and where each row comes from."""
    loaded = tables_from(settings_from(config, flags))
    if name is not None and name not in loaded.tables:
        known = ", ".join(sorted(loaded.tables))
        fail(f"unknown table {name!r}: expected one of {known}", EXIT_USAGE)
    for table in sorted(loaded.tables):
        if name in (None, table):
            _print(tables_format.effective(loaded, table))


@tables.command("check")
@click.argument("overlay")
@settings_options(_WITHOUT_OVERLAY)
def check_tables(config: Path | None, **flags: Any) -> None:
    """Check the tables in the folder OVERLAY. Reports every mistake with file, line and row."""
    loaded = tables_from(settings_from(config, flags))
    overlay = flags["overlay"]
    rows = {
        row.name: row
        for table in loaded.tables.values()
        for row in table.rows
        if Path(row.origin).parent == Path(overlay)
    }
    _print(tables_format.notes(rows.values()))
    click.echo(f"no mistakes; effective rows of {overlay}: {len(rows)}")


@tables.command("diff")
@click.argument("overlay")
@settings_options(_WITHOUT_OVERLAY)
def diff_tables(config: Path | None, **flags: Any) -> None:
    """Show what the tables in the folder OVERLAY change."""
    settings = settings_from(config, flags)
    before = tables_from(settings.model_copy(update={"overlay": None}))
    _print(tables_format.differences(before, tables_from(settings)))


@tables.command("schema")
def schema() -> None:
    """Print the JSON Schema of table files, for editors."""
    click.echo(orjson.dumps(table_schema(), option=orjson.OPT_INDENT_2))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        click.echo(line)
