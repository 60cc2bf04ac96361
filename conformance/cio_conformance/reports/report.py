"""Reports of a run: on the terminal, as JUnit XML, as JSON; and a list of all kinds."""

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import orjson
from junitparser import Failure, JUnitXml, Skipped, TestCase, TestSuite
from rich.console import Console
from rich.text import Text

from cio_conformance.reports.html import write_html
from cio_conformance.reports.markdown import write_markdown
from cio_conformance.run.result import Result

# What XML 1.0 can't hold, escaped or not.
_NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_COLOURS: Final = {"+": "green", "-": "red", "@": "cyan"}


def print_results(results: Sequence[Result], console: Console) -> None:
    """Print every case that failed, with what is wrong, and every case that was skipped or is
    known to fail.
    """
    for result in results:
        if result.outcome == "failed":
            console.print(Text.assemble(("FAILED ", "bold red"), (str(result), "bold")))
            for line in result.message.splitlines():
                console.print(Text(f"    {line}", style=_COLOURS.get(line[:1], "")))
        elif result.outcome == "known":
            console.print(Text(f"known failure {result}: {_first_line(result)}", style="dim"))
        elif result.outcome == "skipped":
            console.print(Text(f"skipped {result}: {result.message}", style="dim"))


def write_junit(results: Sequence[Result], path: Path) -> None:
    """Write JUnit XML: a suite for each family, profile, API and settings. Raises OSError."""
    suites: dict[str, TestSuite] = defaultdict(TestSuite)
    for result in results:
        family = result.golden.family.family
        name = f"{family} ({result.setup})"
        test = TestCase(_xml(result.golden.case.name), _xml(name), result.duration_seconds)
        if result.outcome == "failed":
            failure = Failure(_xml(_first_line(result)))
            failure.text = _xml(result.message)
            test.result = [failure]
        elif result.outcome == "known":
            test.result = [Skipped(_xml(f"known failure: {_first_line(result)}"))]
        elif result.outcome == "skipped":
            test.result = [Skipped(_xml(result.message))]
        suites[name].name = _xml(name)
        suites[name].add_testcase(test)
    xml = JUnitXml("cio-conformance")
    for suite in suites.values():
        xml.add_testsuite(suite)
    xml.write(str(path), pretty=True)


def write_json(results: Sequence[Result], path: Path) -> None:
    """Write a JSON list of results, as schemas/report.schema.json has it. Raises OSError."""
    shown = [
        {
            "family": result.golden.family.family,
            "case": result.golden.case.name,
            "profile": result.setup.profile,
            "api": result.setup.api,
            "settings": dict(result.setup.settings),
            "via": result.setup.via,
            "outcome": result.outcome,
            "message": result.message,
            "duration_seconds": round(result.duration_seconds, 6),
            "expected": result.expected,
            "received": result.received,
        }
        for result in results
    ]
    path.write_bytes(orjson.dumps(shown, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))


WRITERS: Final[dict[str, Callable[[Sequence[Result], Path], None]]] = {
    "html": write_html,
    "json": write_json,
    "junit": write_junit,
    "markdown": write_markdown,
}
"""How to write each kind of report."""


def _first_line(result: Result) -> str:
    return result.message.partition("\n")[0]


def _xml(text: str) -> str:
    return _NOT_XML.sub("\N{REPLACEMENT CHARACTER}", text)
