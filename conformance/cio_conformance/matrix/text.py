"""The matrix on the terminal and as Markdown."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Column as Heading
from rich.table import Table
from rich.text import Text

from cio_conformance.coverage import Coverage, RowCoverage
from cio_conformance.markdown import cell as markdown_cell
from cio_conformance.matrix.columns import APIS, Column, State

STATES: Final = tuple(State)
NOT_APPLICABLE: Final = "·"
_STYLES: Final = {"full": "green", "gap": "bold red", "idle": "dim"}

_BROKEN: Final = {State.UNUSABLE: "unus-\nable", State.OVERRIDDEN: "over-\nridden"}
"""Heads that 80 columns have no room for in one line."""


def tables(coverage: Coverage) -> Iterator[tuple[str, list[RowCoverage]]]:
    """The rows by the table that states them."""
    rows = sorted(coverage.rows, key=lambda row: row.table)
    for name, group in groupby(rows, key=lambda row: row.table):
        yield name, list(group)


def columns_of(row: RowCoverage, state: State) -> list[Column]:
    """The columns of a row that belong to a state: of ``present`` one for each input."""
    return [column for column in row.cells if column.state is state]


def mark(row: RowCoverage, columns: Sequence[Column]) -> tuple[str, str]:
    """What a row shows under a state, and how it stands: ``full``, ``gap`` or ``idle``.

    It shows how many cases there are by v1 and by v2, ``-`` where none is and one could be, and
    ``·`` where the state is not applicable; of several inputs the one with the fewest.
    """
    shown: list[str] = []
    missing = False
    for api in APIS:
        cells = [row.cells[column][api] for column in columns]
        counts = [len(cell.cases) for cell in cells if not cell.why_not]
        missing = missing or 0 in counts
        shown.append(str(min(counts) or "-") if counts else NOT_APPLICABLE)
    text = shown[0] if len(set(shown)) == 1 else "/".join(shown)
    standing = "gap" if missing else "idle" if text == NOT_APPLICABLE else "full"
    return text, standing


def print_matrix(coverage: Coverage, console: Console) -> None:
    """Print the matrix, a line for each row."""
    heads = [Heading(_BROKEN.get(state, state), vertical="bottom") for state in STATES]
    shown = Table(Heading("row", no_wrap=True), *heads, padding=(0, 1, 0, 0), box=None)
    for name, rows in tables(coverage):
        shown.add_row(Text(name, "bold"))
        for row in rows:
            marks = [mark(row, columns_of(row, state)) for state in STATES]
            key = row.name.removeprefix(f"{name}.")
            shown.add_row(Text(f"  {key}"), *(Text(text, _STYLES[how]) for text, how in marks))
    console.print(shown)
    console.print("cases by v1/v2; - none; · not applicable; present: the input with the fewest")


def write_markdown(coverage: Coverage, path: Path) -> None:
    """Write the matrix as Markdown: a table for each mapping table. Raises OSError."""
    covered, uncovered, idle = coverage.totals()
    lines = [
        "# Coverage of the mapping tables",
        "",
        f"{covered} states covered, {uncovered} not covered, {idle} not applicable. "
        "A cell has the number of cases by v1/v2: `-` none, `·` not applicable.",
    ]
    for name, rows in tables(coverage):
        lines += ["", f"## {markdown_cell(name)}", "", f"| row | {' | '.join(STATES)} |"]
        lines.append("|---" * (len(STATES) + 1) + "|")
        for row in rows:
            inputs = columns_of(row, State.PRESENT)
            for number, column in enumerate(inputs):
                first = mark(row, [column])[0]
                if column.source:
                    first += f" {markdown_cell(column.source)}"
                rest = [mark(row, columns_of(row, state))[0] for state in STATES[1:]]
                lead = markdown_cell(row.name) if number == 0 else ""
                tail = rest if number == 0 else [""] * len(rest)
                lines.append(f"| {lead} | {first} | {' | '.join(tail)} |")
    gaps = [(row.name, gap) for row in coverage.rows for gap in row.gaps(strict=True)]
    if gaps:
        lines += ["", "## Not covered", ""]
        lines += [f"- {markdown_cell(name)}: {markdown_cell(gap)}" for name, gap in gaps]
    path.write_text("\n".join(lines) + "\n", "utf-8")
