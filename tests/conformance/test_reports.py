"""The reports of a run, and those of the coverage matrix."""

from __future__ import annotations

import json
import socket
from collections import Counter
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import cio_conformance
import pytest
from cio_conformance.cases.golden_cases import load_fixtures, parse_fixtures
from cio_conformance.cli import main
from cio_conformance.reports.html_page import PAGES
from cio_conformance.reports.markdown import MOST_CHARACTERS, MOST_FAILURES
from cio_conformance.reports.report import WRITERS
from cio_conformance.run.result import Result, Setup
from cio_conformance.workbench.coverage.html import write_html as write_matrix_html
from cio_conformance.workbench.coverage.measure import Coverage, Standing, measure
from cio_conformance.workbench.coverage.text import write_markdown as write_matrix_markdown
from cio_sidecar.mapping.authoring.profiles import load_profile
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from junitparser import JUnitXml
from markdown_it import MarkdownIt

from tests.conformance.toy import CASES, LOOSE, Request, Toy, serving

SCHEMA = Path(cio_conformance.__file__).parent / "cases" / "schemas" / "report.schema.json"
EVIL = "</script><script>alert(1)</script><img src=x onerror='alert(2)'>\" x=\"`|@you|```"
"""What would run, or break out of its place, were it not escaped."""


class Page(HTMLParser):
    """What a browser would see of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self.texts: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.tags and self.tags[-1][0] == "script" and not self.scripts[-1]:
            self.scripts[-1] = data
        else:
            self.texts.append(data)

    def those(self, name: str, **wanted: str) -> list[dict[str, str | None]]:
        """The attributes of the elements of a class, with certain data."""
        return [
            found
            for _, found in self.tags
            if name in (found.get("class") or "").split()
            and all(found.get(f"data-{key}") == value for key, value in wanted.items())
        ]


def opened(path: Path, script: str) -> Page:
    """Read a page, in which nothing may run but its own script, and which needs no other file."""
    page = Page(path.read_text("utf-8"))
    assert [text.strip() for text in page.scripts] == [(PAGES / script).read_text().strip()]
    names = {name for _, attributes in page.tags for name in attributes}
    assert not any(name.startswith("on") or name in ("src", "href") for name in names)
    assert "img" not in {tag for tag, _ in page.tags}
    return page


def result(name: str = "n", family: str = "f", **changes: Any) -> Result:
    quoted = json.dumps({"family": family, "cases": [
        {"name": name, "event": {}, "expect": {"v1": [], "v2": []}}]})  # fmt: skip
    (golden,) = parse_fixtures(quoted, "f.yaml")
    given: dict[str, Any] = {"setup": Setup("standard", "v1"), "outcome": "passed", **changes}
    return Result(golden, **given)


def side(body: Any) -> dict[str, Any]:
    requests = [{"method": "POST", "path": "/p", "body": body}]
    return {"answer": "ACCEPTED", "violations": [], "warnings": [], "requests": requests}


def failed(name: str = "n", message: str = "other requests:\n-1\n+2", **changes: Any) -> Result:
    sides = {"expected": side({"a": 1, "b": 1}), "received": side({"a": 2, "b": 1})}
    return result(name, outcome="failed", message=message, **{**sides, **changes})


def written(kind: str, results: list[Result], folder: Path) -> Path:
    path = folder / f"report.{kind}"
    WRITERS[kind](results, path)
    return path


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reports of a run in which one case fails and one is skipped, as files named by kind."""
    folder = tmp_path_factory.mktemp("real")
    (folder / "cases").mkdir()
    (folder / "cases" / "toy.yaml").write_text(CASES)
    (folder / "cases" / "loose.yaml").write_text(LOOSE)

    def change(requests: list[Request]) -> list[Request]:
        return [
            (method, path, {**body, "x": 1} if body["data"] else body)
            for method, path, body in requests
        ]

    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    with serving(Toy(f"http://{listen}", requests=change)) as address:
        to = ["--target", address, "--fake-listen", listen, "--api", "v1"]
        reports = [f"--report={kind}={folder / kind}" for kind in WRITERS]
        fixtures = f"--fixtures={folder / 'cases'}"
        ended = CliRunner().invoke(main, ["run", *to, fixtures, *reports])
    assert ended.output.splitlines()[-1] == "2 passed, 1 failed, 1 skipped"
    return folder


def test_a_real_report_in_json_is_as_its_schema_has_it(real: Path) -> None:
    schema = json.loads(SCHEMA.read_text("utf-8"))
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    report = json.loads((real / "json").read_bytes())
    validator.validate(report)
    purchase = report[0]
    assert purchase["received"]["requests"][0]["body"]["x"] == 1
    assert "x" not in purchase["expected"]["requests"][0]["body"]
    validator.validate([{**purchase, "outcome": "known"}])
    assert not validator.is_valid([{**purchase, "outcome": "lost"}])
    assert not validator.is_valid([{**purchase, "outcome": "passed"}])


def test_every_case_that_ran_has_a_duration(real: Path) -> None:
    report = json.loads((real / "json").read_bytes())
    assert [entry["duration_seconds"] > 0 for entry in report] == [True, True, True, False]
    cases = [case for suite in JUnitXml.fromfile(str(real / "junit")) for case in suite]
    assert [case.time > 0 for case in cases] == [True, True, True, False]


def test_the_page_of_a_run_shows_both_sides_of_a_failure_line_by_line(tmp_path: Path) -> None:
    page = opened(written("html", [result(), failed()], tmp_path), "report.js")
    assert len(page.those("entry")) == 2
    assert len(page.those("failed")) == 1
    shown = [text.strip() for text in page.texts]
    assert shown.index('"a": 1,') + 1 == shown.index('"a": 2,')
    assert shown.count('"b": 1') == 2
    assert len(page.those("differs")) == 1


@pytest.mark.parametrize(("failures", "opened_at_once"), [(1, 1), (3, 3), (4, 0)])
def test_a_few_failures_are_shown_without_a_click(
    failures: int, opened_at_once: int, tmp_path: Path
) -> None:
    results = [result(), *(failed(f"case {number}") for number in range(failures))]
    page = opened(written("html", results, tmp_path), "report.js")
    assert sum("open" in found for tag, found in page.tags if tag == "details") == opened_at_once


def test_the_page_of_a_run_can_be_filtered_by_what_its_entries_are(tmp_path: Path) -> None:
    other = result("m", "g", setup=Setup("documented", "auto"), outcome="skipped", message="why")
    page = opened(written("html", [result(), failed(), other], tmp_path), "report.js")
    assert {found["id"] for tag, found in page.tags if tag in ("select", "input")} == {
        "text", "outcome", "family", "profile", "api",
    }  # fmt: skip
    assert len(page.those("entry", outcome="failed", family="f", profile="standard")) == 1
    assert len(page.those("entry", outcome="skipped", family="g", api="auto")) == 1
    options = {found["value"] for tag, found in page.tags if tag == "option"}
    assert options == {
        "", "passed", "failed", "skipped", "f", "g", "standard", "documented", "v1", "auto",
    }  # fmt: skip


def test_nothing_that_a_case_holds_runs_in_the_page_of_a_run(tmp_path: Path) -> None:
    settings = (("deny_traits", EVIL),)
    evil = failed(
        EVIL, EVIL, expected=side({EVIL: EVIL}), received=side([EVIL]), family=EVIL,
        setup=Setup("standard", "v1", None, settings),
    )  # fmt: skip
    page = opened(written("html", [evil, result(EVIL)], tmp_path), "report.js")
    assert page.those("entry", family=EVIL, outcome="failed")
    assert EVIL in page.texts
    assert json.dumps(EVIL) in [text.strip() for text in page.texts]


def test_half_a_character_does_not_break_a_report(tmp_path: Path) -> None:
    for kind in ("html", "markdown"):
        assert written(kind, [failed(message="\ud800")], tmp_path).stat().st_size


def test_the_markdown_of_a_run_folds_each_failure(tmp_path: Path) -> None:
    text = written("markdown", [result(duration_seconds=1.25), failed("m")], tmp_path).read_text()
    assert text.startswith("### Conformance: 1 passed, 1 failed, 0 skipped\n")
    assert "| standard, v1 | 1 | 1 | 0 | 1.2 |" in text
    folded = (
        "<details><summary>❌ f: m [standard, v1]</summary>\n\n```diff\nother requests:\n-1\n+2"
    )
    assert folded in text


def test_nothing_that_a_case_holds_is_markup_in_the_markdown_of_a_run(tmp_path: Path) -> None:
    setup = Setup("standard", "v1", None, (("deny_traits", EVIL),))
    text = written("markdown", [failed(EVIL, EVIL, setup=setup)], tmp_path).read_text()
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    (block,) = [token for token in tokens if token.type == "fence"]
    assert block.content == f"{EVIL}\n"
    html = "".join(token.content for token in tokens if token.type.startswith("html"))
    inline = [child for token in tokens for child in token.children or ()]
    assert [tag for tag, _ in Page(html).tags] == ["details", "summary"]
    assert not [child for child in inline if child.type.startswith("html")]
    (row,) = [line for line in text.splitlines() if line.startswith("| standard")]
    assert row.replace("\\|", "").count("|") == 6


def test_the_markdown_of_a_run_fits_into_a_comment(tmp_path: Path) -> None:
    many = [failed(f"case {number}", "x" * 100_000) for number in range(MOST_FAILURES + 3)]
    text = written("markdown", many, tmp_path).read_text()
    assert len(text) < 65_536
    assert f"… and {100_000 - MOST_CHARACTERS:,} characters" in text
    assert text.endswith("… and 3 failures more.\n")


@cache
def covered(name: str = "n", *, strict: bool = True) -> Coverage:
    case = {"name": name, "covers": ["page.nme"],
            "event": {"type": "page", "name": "Home", "userId": "u"},
            "expect": {"v1": [], "v2": []}}  # fmt: skip
    goldens = parse_fixtures(json.dumps({"family": "f", "cases": [case]}), "f.yaml")
    return measure(
        goldens,
        lambda name, options: load_profile(name, (), options),
        ["documented"],
        strict=strict,
    )


def test_the_page_of_the_matrix_has_a_cell_for_every_state_with_its_cases(tmp_path: Path) -> None:
    path = tmp_path / "matrix.html"
    write_matrix_html(covered(), path)
    page = opened(path, "matrix.js")
    totals = covered().totals()
    cells = [found for tag, found in page.tags if tag == "button"]
    assert len(cells) == totals.total()
    kinds = Counter((found["class"] or "").removeprefix("cell ") for found in cells)
    assert kinds == {
        "full": totals[Standing.COVERED],
        "gap": totals[Standing.GAP],
        "idle": totals[Standing.IDLE],
    }
    # The legend has one of each.
    assert len(page.those("cell")) == len(cells) + 5
    (cell,) = page.those("cell", title="page.name: present from name, v2")
    assert json.loads(cell["data-cases"] or "") == ["f: n"]
    (never,) = page.those("cell", title="page.type: missing, v1")
    assert never["data-note"] == "not applicable: a constant is always there"


def test_the_reports_of_the_matrix_say_what_the_command_says(tmp_path: Path) -> None:
    path = tmp_path / "matrix"
    for strict in True, False:
        coverage = covered(strict=strict)
        (mistake,) = coverage.mistakes
        assert coverage.gaps
        write_matrix_html(coverage, path)
        page = opened(path, "matrix.js")
        cells = [tag for name, tag in page.tags if name == "button"]
        kinds = Counter(found["class"] or "" for found in cells)
        assert kinds["cell gap"] == coverage.totals()[Standing.GAP]
        assert (kinds["cell open"] == 0) is strict
        html = path.read_text()
        for words in (f"<li>{mistake}</li>", f"{len(coverage.gaps)} not covered, 1 mistakes"):
            assert words in html
        write_matrix_markdown(coverage, path)
        text = path.read_text()
        listed = text.partition("## Not covered\n")[2].partition("## Mistakes\n")[0]
        assert listed.count("\n- ") == sum(map(len, coverage.gaps.values()))
        assert "covers page.nme, but there is no such row" in text


def test_nothing_that_a_case_holds_runs_in_the_page_of_the_matrix(tmp_path: Path) -> None:
    path = tmp_path / "matrix.html"
    write_matrix_html(covered(EVIL), path)
    (cell,) = opened(path, "matrix.js").those("cell", title="page.name: present from name, v1")
    assert json.loads(cell["data-cases"] or "") == [f"f: {EVIL}"]
    assert "innerHTML = first" in (PAGES / "matrix.js").read_text()
    assert (PAGES / "matrix.js").read_text().count("innerHTML") == 2


def test_the_markdown_of_the_matrix_names_what_is_not_covered(tmp_path: Path) -> None:
    path = tmp_path / "matrix.md"
    write_matrix_markdown(covered(), path)
    text = path.read_text()
    assert "| page.name | - context.page.url | - | - | - | - | - | · |" in text
    assert "|  | 1 name |  |  |  |  |  |  |" in text
    assert "\n- page.name: present from context.page.url \\(v1 and v2\\)\n" in text


def test_the_command_writes_the_matrix_and_takes_no_other_kind(tmp_path: Path) -> None:
    page, text = tmp_path / "m.html", tmp_path / "m.md"
    arguments = ["--report", f"html={page}", "--report", f"markdown={text}"]
    ended = CliRunner().invoke(main, ["coverage", *arguments])
    assert ended.exit_code == 0, ended.output
    assert "Not covered" not in text.read_text()
    opened(page, "matrix.js")
    names = {golden.name for golden in load_fixtures() if golden.family.family == "matrix"}
    cells = [tag for name, tag in Page(page.read_text()).tags if name == "button"]
    shown = {name for cell in cells for name in json.loads(cell["data-cases"] or "")}
    assert {*sorted(names)[:5]} <= shown
    other = CliRunner().invoke(main, ["coverage", "--report", "junit=x"])
    assert other.exit_code == 2
    assert "expected html=PATH or markdown=PATH, got 'junit=x'" in other.output
