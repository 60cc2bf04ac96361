"""The suite's own sidecars end with the suite, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

Until = Callable[[Callable[[], object], str], Awaitable[object]]

MARK = "CONFORMANCE_TEST_RUN"


def of_the_run(mark: str) -> list[str]:
    """The processes that were started with the mark, by what they were started as."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment and command:
            found.append(command.replace(b"\0", b" ").decode())
    return found


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_nothing_is_left_of_a_run_that_is_ended(
    tmp_path: Path, number: signal.Signals, until: Until
) -> None:
    mark = f"{os.getpid()}-{number.name}"
    said = tmp_path / "said"
    with said.open("wb") as output:
        run = subprocess.Popen(  # noqa: ASYNC220 (nothing else runs on the loop)
            [
                Path(sys.executable).with_name("cio-conformance"),
                "run",
                "--filter",
                "^(page|matrix)",
            ],
            env={**os.environ, MARK: mark},
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        try:
            # The run, the fork server, what tracks its resources, and two sidecars.
            await until(lambda: len(of_the_run(mark)) >= 5, "sidecars")
            run.send_signal(number)
            assert run.wait(30) != 0
            await until(lambda: not of_the_run(mark), "the end of them all")
        finally:
            run.kill()
            run.wait()
    assert "Traceback" not in said.read_text()
