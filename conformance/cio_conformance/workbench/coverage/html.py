"""The matrix as an HTML page: table by table, each cell coloured, its cases a click away."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import orjson

from cio_conformance.cases.golden_cases import Api
from cio_conformance.reports.html_page import text, write_page
from cio_conformance.workbench.coverage.measure import Coverage, RowCoverage, Standing
from cio_conformance.workbench.coverage.states import Column, State
from cio_conformance.workbench.coverage.text import ENOUGH, STATES, columns_of, counts, tables

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
                ("cell gap", "✗", "no case, and one is needed"),
                ("cell open", "-", "no case, and none is needed"),
                ("cell idle", "·", "not applicable"),
            )
        ),
        "</p>",
    ]
)


def write_html(coverage: Coverage, path: Path) -> None:
    """Write the matrix as one HTML file that needs no other. Raises OSError."""
    parts = [
        "<h1>Coverage of the mapping tables</h1>",
        f'<p><b class="{"good" if coverage.is_enough else "bad"}">{text(counts(coverage))}</b>; '
        f"{len(coverage.rows)} rows, {len(coverage.gaps)} not covered, "
        f"{len(coverage.mistakes)} mistakes. The left half of a cell is v1, the right half v2."
        f"{'' if coverage.strict else ' ' + ENOUGH}</p>",
        *_list("Mistakes", coverage.mistakes),
        *_list(
            "Not covered", [f"{name}: {', '.join(gaps)}" for name, gaps in coverage.gaps.items()]
        ),
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


def _list(title: str, items: Sequence[str]) -> list[str]:
    """A list that can be unfolded; nothing where it is empty."""
    if not items:
        return []
    entries = "".join(f"<li>{text(item)}</li>" for item in items)
    return [f"<details><summary>{title}: {len(items)}</summary><ul>{entries}</ul></details>"]


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
    halves = (_cell(row, column, api) for api in row.cells[column])
    return f"<td><div>{''.join(halves)}</div></td>"


def _cell(row: RowCoverage, column: Column, api: Api) -> str:
    cell = row.cells[column][api]
    count = len(cell.cases)
    match row.standing(column, api):
        case Standing.COVERED:
            kind = "many" if count >= _MANY else "full"
            shown, note = str(count), f"{count} case{'' if count == 1 else 's'}"
        case Standing.GAP:
            kind, shown, note = "gap", "✗", "no case exercises it"
        case Standing.OPEN:
            kind, shown, note = "open", "-", "no case exercises it, and none is needed"
        case Standing.IDLE:
            kind, shown, note = "idle", "·", f"not applicable: {cell.why_not}"
    cases = orjson.dumps([] if cell.why_not else cell.cases).decode()
    title = f"{row.name}: {column}, {api}"
    return (
        f'<button class="cell {kind}" data-title="{text(title)}" data-note="{text(note)}" '
        f'data-cases="{text(cases)}">{shown}</button>'
    )
