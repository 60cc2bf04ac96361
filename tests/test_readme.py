"""The README's commands and sample outputs are true."""

import os
import re
import shlex
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest
from cio_sidecar.app.config import GROUPS, Settings
from cio_sidecar.app.settings_page import settings_page
from cio_sidecar.customerio.encoders import Operation
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from cio_sidecar.mapping_options import MappingOptions

from tests.delivery.support import entry, opened

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
BIN = Path(sys.executable).parent

CONSOLE = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ULID = re.compile(r"\b01[0-9A-HJKMNP-TV-Z]{24}\b")


def sample(command: str, page: str = README) -> tuple[str, list[str]]:
    """The command line in a page that starts so, and the output shown for it."""
    for block in CONSOLE.findall(page):
        prompt, *output = block.splitlines()
        if prompt.startswith(f"$ {command}"):
            return prompt.removeprefix("$ "), output
    raise AssertionError(f"there is no sample of {command!r}")


def run(command: str, folder: Path = ROOT) -> subprocess.CompletedProcess[str]:
    path = f"{BIN}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def assert_shows(shown: list[str], actual: str) -> None:
    """Every line shown stands in the output; "…" stands for anything, and an id for any id."""
    output = ULID.sub("<ulid>", actual)
    for line in shown:
        parts = [re.escape(part) for part in ULID.sub("<ulid>", line).split("…")]
        assert re.search(".*".join(parts), output), f"{line!r} is not in the output:\n{actual}"


@pytest.fixture(scope="module")
def dev_ports() -> Iterator[tuple[int, int]]:
    """A ``cio-sidecar dev`` that has played its samples; its gRPC port."""
    with socket.socket() as grpc, socket.socket() as http:
        grpc.bind(("127.0.0.1", 0))
        http.bind(("127.0.0.1", 0))
        ports = grpc.getsockname()[1], http.getsockname()[1]
    process = subprocess.Popen(
        [
            *(BIN / "cio-sidecar", "dev"),
            *("--listen", f"127.0.0.1:{ports[0]}", "--http-listen", f"127.0.0.1:{ports[1]}"),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith("still serving"):
            break
    drain = threading.Thread(target=process.stdout.read, daemon=True)
    drain.start()
    yield ports
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    drain.join(10)
    process.stdout.close()


def need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def test_make_run_once_shows_what_the_readme_shows() -> None:
    _, shown = sample("make run ARGS=--once")
    result = run("cio-sidecar dev --once")
    assert result.returncode == 0, result.stderr
    varying = re.compile(r"127\.0\.0\.1:\d+|cio-sidecar-\w+/")
    assert_shows(
        [varying.sub("…", line) for line in shown if line != "…"],
        varying.sub("…", result.stdout),
    )


@pytest.mark.parametrize(
    "beginning",
    ['grpcurl -plaintext -d \'{"event": {"userId"', 'grpcurl -plaintext -d \'{"event": {"track"'],
)
def test_the_calls_from_grpcurl_answer_as_shown(dev_ports: tuple[int, int], beginning: str) -> None:
    need("grpcurl")
    command, shown = sample(beginning)
    result = run(command.replace("50051", str(dev_ports[0])))
    assert_shows(shown, result.stdout + result.stderr)


def test_the_call_from_node_answers_as_shown(dev_ports: tuple[int, int]) -> None:
    need("npm")
    command, shown = sample("cd clients/node")
    result = run(f"{command} 127.0.0.1:{dev_ports[0]}")
    assert result.returncode == 0, result.stderr
    assert_shows(shown, result.stdout)


def test_the_second_implementation_is_tested_as_shown() -> None:
    need("npm")
    page = (ROOT / "docs" / "conformance.md").read_text("utf-8")
    install, shown = sample("cd conformance/reference/node", page)
    (test,) = [line.removeprefix("$ ") for line in shown]
    result = run(f"{install} && {test.replace('.venv/bin/', '')} --filter '^page: '")
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed, 0 failed, 0 skipped" in result.stdout


def test_render_prints_what_the_readme_shows() -> None:
    command, shown = sample("echo '{")
    result = run(command.replace(".venv/bin/", ""))
    assert result.stdout.splitlines() == shown


def test_the_settings_page_is_fresh() -> None:
    page = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert page == settings_page(), "run make docs"


def test_every_setting_is_in_one_group() -> None:
    assert sorted(chain(*GROUPS.values())) == sorted(Settings.model_fields)


def test_every_bound_of_a_setting_is_told_with_it() -> None:
    for name, field in Settings.model_fields.items():
        words = re.findall(r"\d+", field.description or "")
        for bound in field.metadata:
            for kind in ("ge", "gt", "le"):
                number = getattr(bound, kind, None)
                assert number is None or str(number) in words, f"{name}: {kind} {number}"


def test_every_row_of_the_documented_profile_is_in_its_page() -> None:
    page = (ROOT / "docs" / "documented.md").read_text("utf-8")
    rows = re.findall(r"^\| (\w+)[^|]* \| `([^`]+)` \| ([^|]+) \| ([^|]+) \|$", page, re.MULTILINE)
    tables = load_profile("documented").tables
    expected = {
        (
            table.name,
            row.key,
            row.level.value.replace("_", " "),
            ", ".join(source.path for source in row.inputs) or f"the constant {row.value}",
        )
        for table in tables.values()
        for row in table.rows
    }
    assert set(rows) == expected


def test_the_overlay_in_the_mapping_page_does_what_the_page_shows(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "mapping.md").read_text("utf-8")
    (overlay,) = re.findall(r"```yaml\n(# overlay/default\.yaml.*?)```", page, re.DOTALL)
    file = tmp_path / "overlay" / "default.yaml"
    file.parent.mkdir()
    file.write_text(overlay)
    for command in ("tables check overlay", "tables diff overlay"):
        (shown,) = re.findall(rf"\$ \.venv/bin/(cio-sidecar {command})\n((?:[^$`].*\n)+)", page)
        assert run(shown[0], tmp_path).stdout == shown[1]
    (mistake,) = re.findall(r"^overlay/default\.yaml:.*$", page, re.MULTILINE)
    file.write_text(overlay.replace("identifier", "identifer"))
    assert run("cio-sidecar tables check overlay", tmp_path).stderr == f"cio-sidecar: {mistake}\n"


def test_every_overlay_in_the_mapping_page_is_good(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "mapping.md").read_text("utf-8")
    blocks = re.findall(r"```yaml\n(# overlay/(\w+\.yaml).*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    for number, (text, name) in enumerate(blocks):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / name).write_text(text)
        result = run(f"cio-sidecar tables check {folder}")
        assert result.returncode == 0, result.stderr


async def test_debugging_page_queries_run(tmp_path: Path) -> None:
    page = (ROOT / "docs" / "debugging.md").read_text("utf-8")
    queries = re.findall(r"^\$ sqlite3 cio-sidecar-data/queue\.sqlite3 '(.+)'$", page, re.MULTILINE)
    assert len(queries) == 4
    message_id = "01KJPY44HR4TFF59TDWH9EDD1R"
    with opened(tmp_path / "queue.sqlite3") as queue:
        await queue.put([entry(message_id, Operation("p:1", b"{}", 0, b""))])
    with closing(sqlite3.connect(tmp_path / "queue.sqlite3")) as db:
        shown = [db.execute(query).fetchall() for query in queries]
    assert all(shown[:3])


def test_every_metric_is_in_the_operations_page() -> None:
    page = (ROOT / "docs" / "operations.md").read_text("utf-8")
    source = (ROOT / "server" / "cio_sidecar" / "app" / "metrics.py").read_text("utf-8")
    for name in re.findall(r'"(cio_\w+)"', source):
        assert name in page, name


def test_every_link_into_the_repository_leads_somewhere() -> None:
    top = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")]
    for page in [*top, *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_make_targets_that_the_pages_name_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for named in re.findall(r"(?:`|\$ )make ([a-z-]+)", page.read_text("utf-8")):
            assert shlex.quote(named) in targets, f"{page.name} names make {named}"


def test_every_setting_that_changes_the_mapping_is_in_the_page_of_the_profile() -> None:
    page = (ROOT / "docs" / "standard.md").read_text("utf-8")
    for name in MappingOptions.model_fields:
        assert f"`CIO_{name.upper()}" in page, name


def test_every_table_of_the_standard_profile_is_for_something_that_the_page_names() -> None:
    page = (ROOT / "docs" / "standard.md").read_text("utf-8")
    tables = load_profile("standard").tables.values()
    names = [name for table in tables if table.when for name in table.when.values[0][1]]
    assert len(names) == 12
    for name in names:
        assert str(name) in page, name


def test_every_transform_is_in_the_mapping_page() -> None:
    page = (ROOT / "docs" / "mapping.md").read_text("utf-8")
    assert set(re.findall(r"^\| `(\w+)` \| ", page, re.MULTILINE)) >= {*TRANSFORMS}
