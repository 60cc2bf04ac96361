"""A run that is ended from outside ends its processes."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.soak]


def children(pid: int) -> list[Path]:
    """The processes that a process has started, in /proc."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path("/proc", child) for child in found]


@pytest.mark.skipif(not Path("/proc/thread-self/children").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_ended_ends_its_sidecar_and_receiver(number: int) -> None:
    command = [sys.executable, "-m", "reliability.soak", "--faults", "kill", "--per-second", "100"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        end = time.monotonic() + 60
        while len(started := children(run.pid)) < 2:
            assert time.monotonic() < end
            time.sleep(0.02)
        run.send_signal(number)
        output = run.stdout.read()
    assert run.returncode == 1
    assert not any(process.exists() for process in started)
    kept = Path(output.splitlines()[-1].removeprefix("kept in "))
    assert (kept / "ledger.ndjson").exists()
    shutil.rmtree(kept)
