"""The cookbook's overlays are good, their cases pass, and what their pages show is true."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cio_conformance.cases.golden_cases import load_fixtures
from cio_conformance.cli import main as conformance
from cio_sidecar.cli.main import main as sidecar
from cio_sidecar.yaml_lines import load
from click import Group
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parent.parent
BOOK = ROOT / "docs" / "cookbook"
RECIPES = sorted(folder.name for folder in BOOK.iterdir() if folder.is_dir())
BIN = Path(sys.executable).parent

CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
JSON = re.compile(r"^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SHOWN_FILE = re.compile(
    r"^\[(overlay/\S+)\]\(\1\)[^\n]*:\n\n```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")

every_recipe = pytest.mark.parametrize("recipe", RECIPES)


def invoke(command: Group, *arguments: str) -> Result:
    return CliRunner().invoke(command, arguments, catch_exceptions=False)


def run(command: str) -> str:
    """The output of a command line as a page shows it, which must succeed."""
    result = subprocess.run(
        ["bash", "-c", command.replace(".venv/bin/", "")],
        cwd=ROOT,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def page(recipe: str) -> str:
    return (BOOK / recipe / "README.md").read_text("utf-8")


def overlay(recipe: str) -> str:
    return str(BOOK / recipe / "overlay")


def own_cases(recipe: str) -> tuple[str, ...]:
    return ("--overlay", overlay(recipe), "--fixtures", str(BOOK / recipe / "fixtures"))


def documents(text: str) -> list[str]:
    """Each of the JSON documents in a text, in one spelling; the order of keys stays."""
    found: list[Any] = []
    decoder = json.JSONDecoder()
    text = text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].lstrip()
    return [json.dumps(value, indent=1) for value in found]


def test_there_are_ten_recipes_and_the_list_names_each() -> None:
    assert len(RECIPES) >= 10
    listed = re.findall(r"^\| \[(\S+)\]\((\S+)/\) \| .+ \|$", page("."), re.MULTILINE)
    assert sorted(name for name, folder in listed if name == folder) == RECIPES


@every_recipe
def test_the_overlay_of_a_recipe_has_no_mistakes(recipe: str) -> None:
    result = invoke(sidecar, "tables", "check", overlay(recipe))
    assert result.exit_code == 0, result.output
    assert result.output.startswith("no mistakes")


@every_recipe
def test_every_case_of_a_recipe_passes_by_v1_and_by_v2(recipe: str) -> None:
    result = invoke(conformance, "run", *own_cases(recipe))
    assert result.exit_code == 0, result.output
    cases = len(load_fixtures(BOOK / recipe / "fixtures"))
    assert result.output.splitlines()[-1] == f"{2 * cases} passed, 0 failed, 0 skipped"


@every_recipe
def test_the_cases_of_a_recipe_cover_its_rows(recipe: str) -> None:
    result = invoke(conformance, "coverage", *own_cases(recipe))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1].endswith(" rows, 0 not covered, 0 mistakes")


@every_recipe
def test_the_page_of_a_recipe_shows_its_tables_as_they_are(recipe: str) -> None:
    shown = dict(SHOWN_FILE.findall(page(recipe)))
    files = (BOOK / recipe / "overlay").iterdir()
    assert shown == {f"overlay/{file.name}": file.read_text("utf-8") for file in files}


@every_recipe
def test_the_page_of_a_recipe_shows_an_event_and_what_it_becomes(recipe: str) -> None:
    (command,) = CONSOLE.findall(page(recipe))
    given, made = JSON.findall(page(recipe))
    assert f" < docs/cookbook/{recipe}/events.ndjson\n" in command
    assert documents(given) == documents((BOOK / recipe / "events.ndjson").read_text("utf-8"))
    assert documents(made) == documents(run(command.removeprefix("$ ")))


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    return Draft202012Validator(json.loads(run("cio-sidecar tables schema")))


@every_recipe
def test_the_schema_for_editors_takes_every_table_of_a_recipe(
    recipe: str, schema: Draft202012Validator
) -> None:
    for file in (BOOK / recipe / "overlay").iterdir():
        schema.validate(load(file.read_text("utf-8")).value)


def test_the_commands_of_the_list_print_what_it_shows() -> None:
    (block,) = CONSOLE.findall(page("."))
    for sample in block.removeprefix("$ ").split("\n$ "):
        command, *shown = sample.splitlines()
        lines = run(command).splitlines()
        assert shown, command
        assert [line for line in shown if line != "…" and line not in lines] == [], command


def test_every_link_of_the_cookbook_leads_somewhere() -> None:
    for recipe in [".", *RECIPES]:
        for target in LINK.findall(page(recipe)):
            assert (BOOK / recipe / target).exists(), f"{recipe} links to {target}"
