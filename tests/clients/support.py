"""The callers in clients/: which can be built here, and their drivers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CLIENTS = ROOT / "clients"
LANGUAGES = sorted(file.parent.name for file in CLIENTS.glob("*/needs"))
DEMANDED = {"go", "java", "node", "rust"}
"""What CI must be able to build."""

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
"""With the tools of the virtual environment: buf, and Python with grpc_tools."""


def missing(language: str) -> list[str]:
    """The tools that building needs and that are not here."""
    needs = (CLIENTS / language / "needs").read_text().split()
    return [tool for tool in needs if shutil.which(tool, path=PATH) is None]


@cache
def _build(language: str) -> str:
    built = subprocess.run(
        [CLIENTS / language / "build"],
        env={**os.environ, "PATH": PATH},
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if built.returncode == 0 else built.stdout + built.stderr


def driver(language: str) -> tuple[str, ...]:
    """The command of a driver that has been built; skips the test where its tools are missing."""
    if absent := missing(language):
        words = f"{language}: {', '.join(absent)} not installed"
        if os.environ.get("CI") == "true" and language in DEMANDED:
            pytest.fail(words)
        pytest.skip(words)
    trouble = _build(language)
    assert not trouble, f"clients/{language}/build failed:\n{trouble}"
    return (str(CLIENTS / language / "driver"),)


def drivers() -> list[tuple[str, ...]]:
    """Those of every language whose tools are here."""
    return [driver(language) for language in LANGUAGES if not missing(language)]
