"""Starts this package's own sidecars: forked from a process that has their modules loaded.

A run starts dozens; reading the modules is nine tenths of what a start costs.
"""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from subprocess import TimeoutExpired
from typing import IO, Final

_FORKING: Final = multiprocessing.get_context("forkserver")
# A console script, which every child looks into, imports the suite's command.
_FORKING.set_forkserver_preload(
    ["cio_sidecar.cli.main", "cio_sidecar.app.sidecar", "cio_conformance.cli"]
)
# Looking at one process reads what is known of all.
_lock: Final = threading.Lock()


class WarmSidecar:
    """A process that does what ``cio-sidecar ARGUMENTS`` would do; used as `subprocess.Popen` is.

    It leads a group of its own. ``stdout`` is what it writes to standard output and error.
    """

    def __init__(
        self, arguments: Sequence[str], environment: Mapping[str, str], folder: Path
    ) -> None:
        output, end = _FORKING.Pipe(duplex=False)
        self.stdout: IO[bytes] = os.fdopen(os.dup(output.fileno()), "rb", buffering=0)
        output.close()
        self._process = _FORKING.Process(
            target=_main, args=(list(arguments), dict(environment), folder, end), daemon=True
        )
        with _lock:
            _start(self._process)
        end.close()
        assert self._process.pid is not None
        self.pid: int = self._process.pid

    def poll(self) -> int | None:
        """Its exit code; None while it runs."""
        with _lock:
            return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code, once it has ended. Raises TimeoutExpired after ``timeout`` seconds."""
        code = self.poll() if wait([self._process.sentinel], timeout) else None
        if code is None:
            raise TimeoutExpired("cio-sidecar", timeout or 0.0)
        return code


def _start(process: BaseProcess) -> None:
    """Start a process, whom Ctrl-C does not reach: the suite ends what it started.

    The process that is forked from would break off with a traceback while it reads the modules.
    """
    # It would let the signal through again.
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _main(
    arguments: list[str], environment: dict[str, str], folder: Path, output: Connection
) -> None:
    from cio_sidecar.cli.main import main

    os.setsid()
    threading.Thread(target=_end_with_the_suite, daemon=True).start()
    for standard in (1, 2):
        os.dup2(output.fileno(), standard)
    output.close()
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(folder)
    sys.argv = ["cio-sidecar", *arguments]
    main()


def _end_with_the_suite() -> None:
    """Stop when the suite is gone, however it ended."""
    suite = multiprocessing.parent_process()
    assert suite is not None
    suite.join()
    os.kill(os.getpid(), signal.SIGTERM)
