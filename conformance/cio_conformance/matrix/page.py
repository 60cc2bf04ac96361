"""The matrix as an HTML page: table by table, each cell coloured, its cases a click away."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import orjson

from cio_conformance.coverage import Cell, Coverage, RowCoverage
from cio_conformance.matrix.columns import Column, State
from cio_conformance.matrix.text import STATES, columns_of, tables
from cio_conformance.page import text, write_page

_MANY: Final = 3
"""From so many cases on a cell is of a full colour."""

_LEGEND: Final = "".join(
    [
        '<p class="legend soft">',
        *(
            f'<span><span class="{kind}">{shown}</span>{meaning}</span>'
            for kind, shown, meaning in (
                ("cell full", "1", "one or two cases"),
                ("cell many", str(_MANY), "three cases or more"),
                ("cell gap", "✗", "no case"),
                ("cell idle", "·", "not applicable"),
            )
        ),
        "</p>",
    ]
)


def write_html(coverage: Coverage, path: Path) -> None:
    """Write the matrix as one HTML file that needs no other. Raises OSError."""
    covered, uncovered, idle = coverage.totals()
    parts = [
        "<h1>Coverage of the mapping tables</h1>",
        f'<p><b class="good">{covered}</b> states covered, '
        f'<b class="{"bad" if uncovered else "good"}">{uncovered}</b> not covered, '
        f'<span class="soft">{idle} not applicable</span>; {len(coverage.rows)} rows. '
        "The left half of a cell is v1, the right half v2.</p>",
        _LEGEND,
    ]
    for name, rows in tables(coverage):
        parts += [
            f"<h2>{text(name)}</h2>",
            f'<div class="scroll"><table aria-label="{text(name)}"><thead><tr><td></td>',
            *(f'<th scope="col">{text(state)}</th>' for state in STATES),
            "</tr></thead><tbody>",
            *(line for row in rows for line in _lines(row)),
            "</tbody></table></div>",
        ]
    parts.append(
        '<div id="told"><p class="soft">Point at a cell, or go there by the arrow keys, to see '
        "its cases; click, or press Enter, to keep them.</p>"
        "</div>"
    )
    write_page(path, "Coverage of the mapping tables", "\n".join(parts), "matrix")


def _lines(row: RowCoverage) -> Iterator[str]:
    """A line for the row, and one below it for each of several inputs."""
    inputs = columns_of(row, State.PRESENT)
    several = len(inputs) > 1
    cells = [
        _pair(row, column)
        for state in STATES
        for column in columns_of(row, state)
        if not (several and state is State.PRESENT)
    ]
    lead = ["<td></td>"] if several else []
    yield (
        f'<tr><th scope="row" title="{text(row.doc)}"><code>{text(row.name)}</code></th>'
        f"{''.join([*lead, *cells])}</tr>"
    )
    for column in inputs if several else ():
        yield (
            f'<tr><th scope="row" class="soft"><code>{text(column.source)}</code></th>'
            f"{_pair(row, column)}</tr>"
        )


def _pair(row: RowCoverage, column: Column) -> str:
    halves = (
        _cell(f"{row.name}: {column}, {api}", cell) for api, cell in row.cells[column].items()
    )
    return f"<td><div>{''.join(halves)}</div></td>"


def _cell(title: str, cell: Cell) -> str:
    count = len(cell.cases)
    standing, shown, note = "full", str(count), f"{count} case{'' if count == 1 else 's'}"
    if cell.why_not:
        standing, shown, note = "idle", "·", f"not applicable: {cell.why_not}"
    elif not count:
        standing, shown, note = "gap", "✗", "no case exercises it"
    elif count >= _MANY:
        standing = "many"
    cases = orjson.dumps([] if cell.why_not else cell.cases).decode()
    return (
        f'<button class="cell {standing}" data-title="{text(title)}" data-note="{text(note)}" '
        f'data-cases="{text(cases)}">{shown}</button>'
    )
