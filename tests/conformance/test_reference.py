"""The second implementation passes the suite, and fails it where it is broken."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import Result

from tests.conformance.support import invoke, need

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "conformance" / "reference" / "node"


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the packages that the implementation needs."""
    need("node")
    need("npm")
    folder = tmp_path_factory.mktemp("packages")
    for name in ("package.json", "package-lock.json"):
        shutil.copy(REFERENCE / name, folder)
    subprocess.run(["npm", "ci", "--silent"], cwd=folder, check=True, timeout=100)
    return folder / "node_modules"


@pytest.fixture
def copy(packages: Path, tmp_path: Path) -> Path:
    """A copy of the implementation, which a test may change."""
    folder = tmp_path / "conformance" / "reference" / "node"
    folder.mkdir(parents=True)
    for file in REFERENCE.glob("*.mjs"):
        shutil.copy(file, folder)
    (folder / "node_modules").symlink_to(packages)
    (tmp_path / "protos").symlink_to(ROOT / "protos")
    return folder


def run(folder: Path, *arguments: str) -> Result:
    command = shlex.join(["node", str(folder / "server.mjs")])
    return invoke("--exec", command, "--profile", "documented", "--api", "v1", *arguments)


def test_the_reference_passes_every_case_of_its_profile(copy: Path) -> None:
    result = run(copy)
    assert result.exit_code == 0, result.output
    passed, failed = re.findall(r"^(\d+) passed, (\d+) failed", result.output, re.MULTILINE)[0]
    assert int(passed) > 150
    assert failed == "0"


PERSON = "identify: userId alone"
ALIAS = "alias: documented profile has no alias events"


@pytest.mark.parametrize(
    ("file", "line", "broken", "case", "beside"),
    [
        (
            "values.mjs",
            "const lower = found.toLowerCase();",
            "const lower = found;",
            "identify: email is trimmed and lower-cased before hashing",
            PERSON,
        ),
        (
            "values.mjs",
            "BigInt(Math.floor(Number(value.text)))",
            "BigInt(Math.trunc(Number(value.text)))",
            "timestamps: creation as a negative fraction floors downwards",
            PERSON,
        ),
        (
            "json.mjs",
            "return number === undefined ? value : new Num(exact(number));",
            "return number === undefined ? value : Number(number);",
            "values: whole numbers around 2^53",
            PERSON,
        ),
        (
            "mapping.mjs",
            "const NAME_BYTES = 100;",
            "const NAME_BYTES = 101;",
            "limits: event name of 101 bytes is cut",
            PERSON,
        ),
        (
            "mapping.mjs",
            'if (value === NO_USE) this.warn(field, "left out: it can\'t be used here");',
            "if (value === NO_USE) continue;",
            "page: URLs of wrong types are each warned of and the name is used",
            PERSON,
        ),
        (
            "mapping.mjs",
            "if (found.violations.length) throw new Rejected(found.violations);",
            "",
            "rejections: track with neither person nor anonymous id",
            PERSON,
        ),
        (
            "options.mjs",
            "for (const path of deny ?? []) data = omit(data, path);",
            "",
            "settings_deny: denied properties are all that there are, documented profile",
            PERSON,
        ),
        (
            "server.mjs",
            "bytes(1, [bytes(1, field), bytes(2, description), bytes(3, reason)]),",
            "bytes(1, [bytes(1, field), bytes(2, description)]),",
            "rejections: properties that are text",
            PERSON,
        ),
        (
            "server.mjs",
            "await deliver(mapped.request);",
            "await deliver(mapped.request); await deliver(mapped.request);",
            "track: known person without properties",
            ALIAS,
        ),
    ],
)
def test_a_broken_reference_fails_with_the_right_case_named(  # noqa: PLR0917 (parametrized)
    copy: Path, file: str, line: str, broken: str, case: str, beside: str
) -> None:
    text = (copy / file).read_text("utf-8")
    assert text.count(line) == 1
    (copy / file).write_text(text.replace(line, broken), "utf-8")
    # The case beside it has nothing to do with what is broken.
    result = run(copy, "--filter", "|".join(f"^{re.escape(name)}$" for name in (case, beside)))
    assert result.exit_code == 1, result.output
    assert re.findall(r"^FAILED (.+) \[", result.output, re.MULTILINE) == [case]
    assert "1 passed, 1 failed, 0 skipped" in result.output
