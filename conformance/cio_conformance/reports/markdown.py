"""The report of a run as Markdown, for a pull request: totals, and every failure folded."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import Final

from cio_conformance.reports.markdown_text import cell, fence
from cio_conformance.run.result import Outcome, Result, summary

MOST_FAILURES: Final = 50
MOST_CHARACTERS: Final = 1000
"""Of one failure's words. GitHub takes 65,536 characters in a comment."""

_OUTCOMES: Final[tuple[Outcome, ...]] = ("passed", "failed", "skipped")


def write_markdown(results: Sequence[Result], path: Path) -> None:
    """Write totals by setup, and each case that failed with its diff. Raises OSError."""
    failed = [result for result in results if result.outcome == "failed"]
    lines = [
        f"### Conformance: {summary(results)}",
        "",
        f"| profile, API, settings | {' | '.join(_OUTCOMES)} | seconds |",
        "|---|--:|--:|--:|--:|",
    ]
    for setup in dict.fromkeys(str(result.setup) for result in results):
        mine = [result for result in results if str(result.setup) == setup]
        counts = Counter(result.outcome for result in mine)
        numbers = " | ".join(str(counts[outcome]) for outcome in _OUTCOMES)
        seconds = sum(result.duration_seconds for result in mine)
        lines.append(f"| {cell(setup)} | {numbers} | {seconds:.1f} |")
    for result in failed[:MOST_FAILURES]:
        name = escape(" ".join(str(result).split()))
        words = result.message
        if len(words) > MOST_CHARACTERS:
            words = f"{words[:MOST_CHARACTERS]}\n… and {len(words) - MOST_CHARACTERS:,} characters"
        lines += ["", f"<details><summary>❌ {name}</summary>", "", fence(words, "diff")]
        lines += ["", "</details>"]
    if len(failed) > MOST_FAILURES:
        lines += ["", f"… and {len(failed) - MOST_FAILURES} failures more."]
    path.write_text("\n".join(lines) + "\n", "utf-8", "backslashreplace")
