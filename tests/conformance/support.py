"""Runs the command, and finds out whether a process of a test has ended."""

from __future__ import annotations

import fcntl
import shutil
import socket
import time
from pathlib import Path

import pytest
from cio_conformance.cli import main
from click.testing import CliRunner, Result

SECONDS = 30
"""Deadline of whatever a test waits for."""


def invoke(*arguments: str) -> Result:
    result = CliRunner().invoke(main, ["run", *arguments], catch_exceptions=False)
    assert "Traceback" not in result.output
    return result


def need(tool: str) -> None:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")


def free_address() -> str:
    with socket.create_server(("127.0.0.1", 0)) as free:
        return f"127.0.0.1:{free.getsockname()[1]}"


def is_locked(file: Path) -> bool:
    """Whether a process that took the lock of the file still lives, be it a zombie's parent's."""
    with file.open("a") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def wait_for_lock(file: Path) -> None:
    """Wait until a process has written to the file, which it does when it has the lock."""
    deadline = time.monotonic() + SECONDS
    while not (file.exists() and file.read_text()):
        assert time.monotonic() < deadline, f"nobody locked {file}"
        time.sleep(0.01)
