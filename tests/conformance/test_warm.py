"""The suite's own sidecars end with the suite, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

Until = Callable[[Callable[[], object], str], Awaitable[object]]

MARK = "CONFORMANCE_TEST_RUN"

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")


def of_the_run(mark: str) -> list[tuple[bytes, str]]:
    """The processes that were started with the mark: what as, and the files that they hold."""
    found = []
    for folder in Path("/proc").iterdir():
        try:
            environment = (folder / "environ").read_bytes()
            command = (folder / "cmdline").read_bytes()
            maps = (folder / "maps").read_text()
        except OSError:
            continue
        if f"{MARK}={mark}".encode() in environment and command:
            found.append((command, maps))
    return found


@contextmanager
def a_run(mark: str, said: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A run of the suite by sidecars of its own, in a group of its own."""
    with said.open("wb") as output:
        run = subprocess.Popen(
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
            yield run
        finally:
            run.kill()
            run.wait()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
async def test_nothing_is_left_of_a_run_that_is_ended(
    tmp_path: Path, number: signal.Signals, until: Until
) -> None:
    mark = f"{os.getpid()}-{number.name}"
    said = tmp_path / "said"
    with a_run(mark, said) as run:
        # The run, the fork server, what tracks its resources, and two sidecars.
        await until(lambda: len(of_the_run(mark)) >= 5, "sidecars")
        run.send_signal(number)
        assert run.wait(30) != 0
        await until(lambda: not of_the_run(mark), "the end of them all")
    assert "Traceback" not in said.read_text()


async def test_ctrl_c_on_a_terminal_breaks_off_no_process_that_reads_modules(
    tmp_path: Path, until: Until
) -> None:
    mark = f"{os.getpid()}-terminal"
    said = tmp_path / "said"

    def reads_modules() -> bool:
        return any(
            b"forkserver" in command and "pydantic" in maps for command, maps in of_the_run(mark)
        )

    with a_run(mark, said) as run:
        await until(reads_modules, "the fork server")
        # A terminal sends it to every process of the group.
        os.killpg(run.pid, signal.SIGINT)
        assert run.wait(30) != 0
        await until(lambda: not of_the_run(mark), "the end of them all")
    assert said.read_text().splitlines()[1:] == ["", "Aborted!"]
