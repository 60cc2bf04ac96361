"""The report of a run as an HTML page: filters, and what was expected beside what came."""

import difflib
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cio_conformance.compare import lines_of, shorten
from cio_conformance.page import text, write_page
from cio_conformance.result import Result, summary


def write_html(results: Sequence[Result], path: Path) -> None:
    """Write the results as one HTML file that needs no other. Raises OSError."""
    ordered = sorted(results, key=lambda result: result.outcome != "failed")
    seconds = sum(result.duration_seconds for result in results)
    filters = [
        '<input id="text" type="search" placeholder="name or message" aria-label="text">',
        _choice("outcome", (result.outcome for result in results)),
        _choice("family", (result.golden.family.family for result in results)),
        _choice("profile", (result.setup.profile for result in results)),
        _choice("api", (result.setup.api for result in results)),
    ]
    body = [
        "<h1>Conformance</h1>",
        f'<p><b class="{_colour(results)}">{text(summary(results))}</b>, '
        f'<span class="soft">{seconds:.1f} s</span></p>',
        f'<form id="filters">{"".join(filters)}<span id="shown" class="soft"></span></form>',
        *map(_entry, ordered),
    ]
    write_page(path, f"Conformance: {summary(results)}", "\n".join(body), "report")


def _colour(results: Iterable[Result]) -> str:
    return "bad" if any(result.outcome == "failed" for result in results) else "good"


def _choice(name: str, values: Iterable[str]) -> str:
    options = "".join(
        f'<option value="{text(value)}">{text(value)}</option>' for value in sorted({*values})
    )
    first = f'<option value="">{name}</option>'
    return f'<select id="{name}" aria-label="{name}">{first}{options}</select>'


def _entry(result: Result) -> str:
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
    return (
        f'<details class="entry {result.outcome}" {attributes}><summary>{head}</summary>'
        f"<pre>{text(result.message)}</pre>{sides}</details>"
    )


def _side_by_side(expected: Any, received: Any) -> str:
    """Two JSON values in two columns, line by line, alike lines beside each other."""
    rows = "".join(
        f'<tr class="{kind}"><td>{text(left)}</td><td>{text(right)}</td></tr>'
        for kind, left, right in _rows(lines_of(expected), lines_of(received))
    )
    return (
        '<table class="sides"><thead><tr><th>expected</th><th>received</th></tr></thead>'
        f"<tbody>{rows}</tbody></table>"
    )


def _rows(expected: list[str], received: list[str]) -> Iterator[tuple[str, str, str]]:
    matcher = difflib.SequenceMatcher(None, expected, received, autojunk=False)
    for tag, start, end, from_, to in matcher.get_opcodes():
        kind = "same" if tag == "equal" else "differs"
        for left, right in zip_longest(expected[start:end], received[from_:to], fillvalue=""):
            yield kind, shorten(left), shorten(right)
