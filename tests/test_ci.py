"""The files for users' CI are YAML, and what they call exists and takes what it is given."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from cio_conformance.cli import main as conformance
from cio_sidecar.cli.main import main as sidecar

ROOT = Path(__file__).parent.parent
ACTION = ROOT / "docs" / "ci" / "github-action.yml"
GITLAB = ROOT / "docs" / "ci" / "gitlab-ci.yml"
COMMANDS = {"cio-conformance": conformance, "cio-sidecar": sidecar}


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text("utf-8"))


def lines_of(path: Path) -> list[str]:
    """The command lines of a file."""
    if path == ACTION:
        return [step["run"] for step in read(ACTION)["runs"]["steps"] if "run" in step]
    (job,) = read(GITLAB).values()
    return [*job["before_script"], *job["script"]]


def calls(path: Path) -> Iterator[tuple[click.Group, list[str]]]:
    """Our own commands that a file calls, with their arguments."""
    for line in lines_of(path):
        name, *arguments = shlex.split(line)
        if name in COMMANDS:
            yield COMMANDS[name], arguments


def known_to(group: click.Group, arguments: list[str]) -> click.Context:
    """Parse a command line, as far as its folders needn't be there. Raises click's errors."""
    command: click.Command = group
    context = click.Context(group)
    rest = arguments
    while isinstance(command, click.Group):
        _, found, rest = command.resolve_command(context, rest)
        assert found
        command = found
    return command.make_context(command.name, rest)


@pytest.mark.parametrize("path", [ACTION, GITLAB], ids=lambda path: path.stem)
def test_every_command_of_ours_exists_with_its_options(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("$OVERLAY", "$FIXTURES"):
        (tmp_path / name).mkdir()
    found = [known_to(*call).command.name for call in calls(path)]
    assert found == ["check", "run", "coverage"]


@pytest.mark.parametrize("path", [ACTION, GITLAB], ids=lambda path: path.stem)
def test_every_other_command_is_there_where_python_and_bash_are(path: Path) -> None:
    others = {shlex.split(line)[0] for line in lines_of(path)} - {*COMMANDS}
    assert others <= {"python", "cat"}
    assert all(shutil.which(name) or shutil.which(f"{name}3") for name in others)


@pytest.mark.parametrize("path", [ACTION, GITLAB], ids=lambda path: path.stem)
def test_what_is_installed_is_an_extra_of_the_checkout_within_its_constraints(path: Path) -> None:
    (line,) = [line for line in lines_of(path) if "pip install" in line]
    *_, constraints, target = shlex.split(line)
    assert constraints == "$SIDECAR/constraints.txt"
    assert (ROOT / "constraints.txt").is_file()
    extra = re.fullmatch(r"\$SIDECAR\[(\w+)\]", target)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert extra
    assert extra[1] in project["optional-dependencies"]
    assert {*COMMANDS} == {*project["scripts"]}


def test_what_is_installed_has_every_package_under_its_own_name() -> None:
    build = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["hatch"]["build"]
    wheel = build["targets"]["wheel"]
    # Of a package's path its parent's is taken away, from every other path too.
    roots = {Path(package).parent for package in wheel["packages"]}
    assert not [a for a in roots for b in roots if a != b and a.is_relative_to(b)]
    names = {Path(package).name for package in wheel["packages"]} | {
        *wheel["force-include"].values()
    }
    assert names == {
        "cio",
        "cio_sidecar",
        "cio_conformance",
        "cio_fake",
        "cio_conformance/delivery/cases",
        "cio_conformance/equivalent_mutants.yaml",
        "cio_conformance/fake_cases.yaml",
        "cio_conformance/fixtures",
    }
    assert all((ROOT / path).exists() for path in wheel["force-include"])


def test_the_action_gives_each_step_the_inputs_that_it_reads() -> None:
    action = read(ACTION)
    for step in action["runs"]["steps"]:
        read_here = {*re.findall(r"\$([A-Z]+)\b", step.get("run", ""))} - {"GITHUB"}
        given = step.get("env", {})
        assert read_here == {*given}
        names = [re.fullmatch(r"\$\{\{ inputs\.(\w+) \}\}", value) for value in given.values()]
        assert all(name and name[1] in action["inputs"] for name in names)


def test_the_gitlab_job_sets_what_it_reads_and_keeps_what_it_writes() -> None:
    (job,) = read(GITLAB).values()
    text = "\n".join(lines_of(GITLAB))
    assert {*re.findall(r"\$([A-Z]+)\b", text)} <= {*job["variables"]}
    written = {*re.findall(r"--report \w+=(\S+)", text)}
    kept = {*job["artifacts"]["paths"], job["artifacts"]["reports"]["junit"]}
    assert written == kept


def test_each_use_of_the_action_can_name_its_artifact() -> None:
    action = read(ACTION)
    (upload,) = [
        step for step in action["runs"]["steps"] if "upload-artifact" in step.get("uses", "")
    ]
    assert upload["with"]["name"] == "${{ inputs.artifact }}"
    assert action["inputs"]["artifact"]["default"]


def test_the_documents_show_both_files() -> None:
    page = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    shown = GITLAB.read_text("utf-8").partition("\n")[2].partition("\n")[2]
    assert f"```yaml\n{shown}```" in page
    (job,) = re.findall(r"```yaml\n(# \.github/workflows/.*?)```", page, re.DOTALL)
    steps = yaml.safe_load(job)["jobs"]["conformance"]["steps"]
    (use,) = [step for step in steps if step.get("uses") == "./.github/actions/cio-conformance"]
    needed = {name for name, given in read(ACTION)["inputs"].items() if given.get("required")}
    assert {*use["with"]} == needed
    assert "(ci/github-action.yml)" in page
