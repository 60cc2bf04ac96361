"""The command ``cio-conformance`` itself: help, version, and a missing extra."""

import subprocess
import sys

import pytest
from cio_sidecar import __version__

RUN = """\
import sys
sys.modules.update(dict.fromkeys(("junitparser", "pytest_httpserver", "werkzeug"), None))
from cio_conformance.cli import main
main()
"""


@pytest.mark.parametrize("arguments", [["--help"], ["run"]])
def test_cli_without_its_extra_says_what_to_install(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "pip install 'cio-sidecar[conformance]'" in done.stderr


def test_cli_shows_its_version() -> None:
    done = subprocess.run(
        [sys.executable, "-c", RUN, "--version"], capture_output=True, text=True, check=False
    )
    assert done.stdout == f"cio-conformance, version {__version__}\n"
