"""`run --exec`: implementations that the suite starts and stops."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cio_conformance.cases.settings import SETTINGS
from cio_conformance.run import sidecars, suite

from tests.conformance.support import SECONDS, invoke, is_locked, wait_for_lock
from tests.conformance.toy import CASES, LOOSE

ROOT = Path(__file__).parents[2]


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return tmp_path / "lock"


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    folder = tmp_path / "cases"
    folder.mkdir()
    (folder / "toy.yaml").write_text(CASES)
    return folder


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    # A command runs where the suite runs: there the module is.
    monkeypatch.chdir(ROOT)


def toy(lock: Path, manner: str = "") -> str:
    return shlex.join([sys.executable, "-m", "tests.conformance.toy_process", str(lock), manner])


def script(text: str) -> str:
    return shlex.join([sys.executable, "-c", text])


@pytest.mark.parametrize("tcp", [(), ("--exec-tcp",)])
def test_a_command_is_started_tested_and_ended(
    cases: Path, lock: Path, tcp: tuple[str, ...]
) -> None:
    result = invoke("--exec", toy(lock), "--fixtures", str(cases), "--api", "v1", *tcp)
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"
    assert not is_locked(lock)


def test_a_command_is_told_by_variables_what_to_do_and_nothing_of_the_users_own(
    cases: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (cases / "toy.yaml").write_text(f"settings: {{deny_traits: [ssn, a.b]}}\n{CASES}")
    monkeypatch.setenv("CIO_LIMITS", "truncate")
    show = "import os; [print(n, v) for n, v in sorted(os.environ.items()) if n[:4] == 'CIO_']"
    result = invoke("--exec", script(show), "--fixtures", str(cases), "--api", "v1")
    assert result.exit_code == 2
    assert "the sidecar ended with exit code 0; it said:" in result.output
    told = dict(re.findall(r"^  (CIO_\w+) (.*)$", result.output, re.MULTILINE))
    page = (ROOT / "docs" / "protocol.md").read_text("utf-8")
    assert [name for name in told if name not in page] == []
    assert [name for name in SETTINGS if f"`{name}`" not in page] == []
    assert told.pop("CIO_BASE_URL").startswith("http://127.0.0.1:")
    folder = Path(told.pop("CIO_LISTEN").removeprefix("unix:")).parent
    assert folder.name.startswith("cio-conformance-")
    assert told.pop("CIO_DATA_DIR") == str(folder / "data")
    assert told == {
        "CIO_API": "v1",
        "CIO_API_KEY": "conformance-key",
        "CIO_DENY_TRAITS": "ssn,a.b",
        "CIO_HTTP_LISTEN": "off",
        "CIO_PROFILE": "standard",
        "CIO_SITE_ID": "conformance-site",
    }


def test_what_a_command_says_is_shown_when_a_case_fails(cases: Path, lock: Path) -> None:
    to = ("--fixtures", str(cases), "--api", "v1")
    result = invoke("--exec", toy(lock, "wrong"), *to)
    assert result.exit_code == 1
    assert "FAILED toy: a visit [standard, v1]" in result.output
    assert "[standard, v1] the sidecar ended with exit code 0; it said:" in result.output
    assert "  misspelling on purpose" in result.output
    assert "it said" not in invoke("--exec", toy(lock), *to).output


def test_what_a_shell_started_is_ended_with_the_shell(cases: Path, lock: Path) -> None:
    shell = shlex.join(["sh", "-c", f"{toy(lock)} & wait"])
    result = invoke("--exec", shell, "--fixtures", str(cases), "--api", "v1")
    assert result.exit_code == 0, result.output
    assert not is_locked(lock)


def test_a_command_that_does_not_heed_sigterm_is_killed_and_told_of(
    cases: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sidecars, "STOP_SECONDS", 0.2)
    result = invoke("--exec", toy(lock, "stubborn"), "--fixtures", str(cases), "--api", "v1")
    assert result.exit_code == 2
    assert "did not stop within 0.2 s of SIGTERM, and was killed" in result.output
    assert not is_locked(lock)


def test_a_command_that_never_serves_is_given_up(
    cases: Path, lock: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(suite, "START_SECONDS", 0.2)
    result = invoke("--exec", toy(lock, "mute"), "--fixtures", str(cases), "--api", "v1")
    assert result.exit_code == 2
    assert "expected a sidecar that serves within 0.2 s" in result.output
    assert "the sidecar runs; it said:" in result.output
    assert not lock.exists() or not is_locked(lock)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_interrupted_leaves_no_process_behind(
    cases: Path, lock: Path, number: signal.Signals
) -> None:
    arguments = ["--exec", toy(lock, "mute"), "--fixtures", str(cases), "--api", "v1"]
    process = subprocess.Popen(
        [Path(sys.executable).parent / "cio-conformance", "run", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    with process:
        wait_for_lock(lock)
        os.kill(process.pid, number)
        output, _ = process.communicate(timeout=SECONDS)
    assert process.returncode not in (0, 2), output
    assert b"Traceback" not in output
    assert not is_locked(lock)


def test_cases_that_need_json_are_skipped_with_a_command(cases: Path, lock: Path) -> None:
    (cases / "loose.yaml").write_text(LOOSE)
    lines = invoke("--exec", toy(lock), "--fixtures", str(cases), "--api", "v1").output.splitlines()
    assert lines[-2:] == ["left to render: 1 of loose, skipped", "3 passed, 0 failed, 1 skipped"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--exec", "/nowhere/sidecar"], "/nowhere/sidecar: can't be started: No such file"),
        (["--exec", "'"], "is no command: No closing quotation"),
        (["--exec", " "], "is no command: expected a command, got nothing"),
        (["--exec", "x", "--target", "y", "--fake-listen", "h:1"], "exclude each other"),
        (["--exec-tcp"], "--exec-tcp is for --exec alone"),
    ],
)
def test_a_command_that_cannot_be_used_exits_2_with_a_clear_line(
    cases: Path, arguments: list[str], words: str
) -> None:
    result = invoke(*arguments, "--fixtures", str(cases), "--api", "v1")
    assert result.exit_code == 2
    assert words in result.output
