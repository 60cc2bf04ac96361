"""The report of a run as an HTML page: filters, and what was expected beside what came."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

from cio_conformance.cases.golden_cases import Case
from cio_conformance.cases.origins import THREAD
from cio_conformance.reports.html_page import text, write_page
from cio_conformance.run.compare import lines_of, shorten
from cio_conformance.run.result import Result, summary

_OPEN: Final = 3
"""Up to so many failures are shown without a click."""
_COLOURS: Final = {"passed": "good", "failed": "bad", "skipped": "warm", "known": "warm"}


def write_html(results: Sequence[Result], path: Path) -> None:
    """Write the results as one HTML file that needs no other. Raises OSError."""
    ordered = sorted(results, key=lambda result: result.outcome != "failed")
    failures = sum(result.outcome == "failed" for result in results)
    seconds = sum(result.duration_seconds for result in results)
    filters = [
        '<input id="text" type="search" placeholder="name or message (press /)" '
        'aria-label="name or message">',
        _choice("outcome", (result.outcome for result in results)),
        _choice("family", (result.golden.family.family for result in results)),
        _choice("profile", (result.setup.profile for result in results)),
        _choice("api", (result.setup.api for result in results)),
    ]
    body = [
        "<h1>Conformance</h1>",
        f'<p><b>{_totals(results)}</b>, <span class="soft">{seconds:.1f} s</span></p>',
        f'<form id="filters">{"".join(filters)}'
        '<span id="shown" class="soft" role="status"></span></form>',
        *(_entry(result, opened=failures <= _OPEN) for result in ordered),
        '<p id="none" class="soft" hidden>Nothing fits; Escape in a filter shows all again.</p>',
    ]
    write_page(path, f"Conformance: {summary(results)}", "\n".join(body), "report")


def _totals(results: Sequence[Result]) -> str:
    """The summary, each outcome that there is in its colour."""
    return ", ".join(
        f'<span class="{_COLOURS[outcome]}">{text(part)}</span>'
        if not part.startswith("0 ")
        else text(part)
        for part in summary(results).split(", ")
        for outcome in [part.split()[1]]
    )


def _choice(name: str, values: Iterable[str]) -> str:
    options = "".join(
        f'<option value="{text(value)}">{text(value)}</option>' for value in sorted({*values})
    )
    first = f'<option value="">{name}</option>'
    return f'<select id="{name}" aria-label="{name}">{first}{options}</select>'


def _entry(result: Result, *, opened: bool) -> str:
    data = {
        "outcome": result.outcome,
        "family": result.golden.family.family,
        "profile": result.setup.profile,
        "api": result.setup.api,
    }
    attributes = " ".join(f'data-{name}="{text(value)}"' for name, value in data.items())
    head = (
        f'<span class="mark">{text(result.outcome)}</span> '
        f"<span>{text(result.golden.name)}</span> "
        f'<span class="soft">{text(result.setup)}, {result.duration_seconds * 1000:.0f} ms</span>'
    )
    if not result.message:
        return f'<div class="entry {result.outcome}" {attributes}>{head}</div>'
    sides = "" if result.expected is None else _side_by_side(result.expected, result.received)
    state = " open" if opened and result.outcome == "failed" else ""
    return (
        f'<details class="entry {result.outcome}" {attributes}{state}><summary>{head}</summary>'
        f"{_origin(result)}<pre>{text(result.message)}</pre>{sides}</details>"
    )


def _origin(result: Result) -> str:
    case = result.golden.case
    origin = case.origin if isinstance(case, Case) else ""
    if not origin:
        return ""
    if THREAD.fullmatch(origin):
        # GitHub leads from here to the pull request where it is one.
        page = f"https://github.com/{origin.replace('#', '/issues/')}"
        return f'<p class="soft">comes from <a href="{text(page)}">{text(origin)}</a></p>'
    return f'<p class="soft">comes from {text(origin)}</p>'


def _side_by_side(expected: Any, received: Any) -> str:
    """Two JSON values in two columns, line by line, alike lines beside each other."""
    blocks = "".join(
        f'<tbody class="{kind}">'
        + "".join(f"<tr><td>{text(left)}</td><td>{text(right)}</td></tr>" for left, right in rows)
        + "</tbody>"
        for kind, rows in _blocks(lines_of(expected), lines_of(received))
    )
    return (
        '<table class="sides"><thead><tr><th>expected</th><th>received</th></tr></thead>'
        f"{blocks}</table>"
    )


def _blocks(
    expected: list[str], received: list[str]
) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """Lines that are alike, and lines that differ, by turns."""
    matcher = difflib.SequenceMatcher(None, expected, received, autojunk=False)
    for tag, start, end, from_, to in matcher.get_opcodes():
        pairs = zip_longest(expected[start:end], received[from_:to], fillvalue="")
        rows = [(shorten(left), shorten(right)) for left, right in pairs]
        yield "same" if tag == "equal" else "differs", rows
