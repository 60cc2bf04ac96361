"""The matrix on the terminal and as Markdown."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Column as Heading
from rich.table import Table
from rich.text import Text

from cio_conformance.reports.markdown_text import cell as markdown_cell
from cio_conformance.workbench.coverage.measure import Coverage, RowCoverage, Standing
from cio_conformance.workbench.coverage.states import APIS, Column, State

STATES: Final = tuple(State)
NOT_APPLICABLE: Final = "·"
_STYLES: Final = {
    Standing.COVERED: "green",
    Standing.GAP: "bold red",
    Standing.OPEN: "yellow",
    Standing.IDLE: "dim",
}

ENOUGH: Final = "Each row needs a case with its value and one without, where there can be one."
"""What is asked for of a user's own tables."""

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


def mark(row: RowCoverage, columns: Sequence[Column]) -> tuple[str, Standing]:
    """What a row shows under a state, and how it stands.

    It shows how many cases there are by v1 and by v2, ``-`` where none is and one could be, and
    ``·`` where the state is not applicable; of several inputs the one with the fewest.
    """
    shown: list[str] = []
    for api in APIS:
        cells = [row.cells[column][api] for column in columns]
        found = [len(cell.cases) for cell in cells if not cell.why_not]
        shown.append(str(min(found) or "-") if found else NOT_APPLICABLE)
    text = shown[0] if len(set(shown)) == 1 else "/".join(shown)
    standings = {row.standing(column, api) for column in columns for api in APIS}
    worst = (Standing.GAP, Standing.OPEN, Standing.COVERED, Standing.IDLE)
    return text, next((each for each in worst if each in standings), Standing.IDLE)


def counts(coverage: Coverage) -> str:
    """How many states stand how: ``26 states covered, 0 not covered, …``."""
    totals = coverage.totals()
    shown = [each for each in Standing if not (each is Standing.OPEN and coverage.strict)]
    first, *rest = [f"{totals[each]} {each}" for each in shown]
    return ", ".join([first.replace(" ", " states ", 1), *rest])


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
    lines = [
        "# Coverage of the mapping tables",
        "",
        f"{counts(coverage)}. A cell has the number of cases by v1/v2: `-` none, `·` not "
        "applicable.",
    ]
    if not coverage.strict:
        lines += ["", f"{ENOUGH} What is not tried needs none."]
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
    gaps = [(name, gap) for name, gaps in coverage.gaps.items() for gap in gaps]
    if gaps:
        lines += ["", "## Not covered", ""]
        lines += [f"- {markdown_cell(name)}: {markdown_cell(gap)}" for name, gap in gaps]
    if coverage.mistakes:
        lines += ["", "## Mistakes", ""]
        lines += [f"- {markdown_cell(mistake)}" for mistake in coverage.mistakes]
    path.write_text("\n".join(lines) + "\n", "utf-8")
