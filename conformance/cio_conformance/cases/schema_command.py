"""The command ``schema``: prints the JSON Schemas of the files that the suite reads and writes."""

from pathlib import Path
from typing import Final

import click

_FOLDER: Final = Path(__file__).parent / "schemas"
_ENDING: Final = ".schema.json"
SCHEMAS: Final = {
    path.name.removesuffix(_ENDING): path for path in sorted(_FOLDER.glob(f"*{_ENDING}"))
}
"""The file of each schema, by the name that the command knows it by."""


@click.command()
@click.argument("name", type=click.Choice([*SCHEMAS]), default="fixtures")
def schema(name: str) -> None:
    """Print a JSON Schema, for editors: of fixture files (fixtures, if no NAME is given), of
    delivery cases (delivery), of lists of equivalent mutants, of the cases of the fake's rules, or
    of the report that `run --report json=PATH` writes (report).
    """
    click.echo(SCHEMAS[name].read_text("utf-8"), nl=False)
