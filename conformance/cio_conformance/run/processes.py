"""Processes that the suite starts: each in a group of its own, which ends as a whole."""

import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import IO, Final, Self

from cio_conformance.run.caller import TargetError
from cio_conformance.run.forked_sidecar import WarmSidecar

_KEPT_BYTES: Final = 65_536
"""How much of a process's output is kept: the end of it."""
_LAST_WORDS_SECONDS: Final = 1
"""How long the output of a process that has ended may take to be read."""


@dataclass(frozen=True, slots=True)
class Launch:
    """How an implementation is started that is not this package's own."""

    command: tuple[str, ...]
    tcp: bool = False
    """Whether it is told to listen on a TCP port rather than on a unix socket."""

    @classmethod
    def parse(cls, text: str, *, tcp: bool = False) -> Self:
        """Read a command line as a shell would split it. Raises ValueError."""
        command = tuple(shlex.split(text))
        if not command:
            raise ValueError("expected a command, got nothing")
        return cls(command, tcp)


class Process:
    """A running process that leads a group of its own, with the end of what it writes."""

    def __init__(self, process: subprocess.Popen[bytes] | WarmSidecar) -> None:
        self._process = process
        self._said = bytearray()
        assert self._process.stdout is not None
        self._reader = threading.Thread(
            target=self._read, args=(self._process.stdout,), daemon=True
        )
        self._reader.start()

    @classmethod
    def start(cls, command: Sequence[str], environment: Mapping[str, str]) -> Self:
        """Start a command in the present folder. Raises TargetError."""
        try:
            process = subprocess.Popen(  # noqa: S603
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                # A group of its own: a wrapper's children are ended with the wrapper.
                start_new_session=True,
            )
        except OSError as error:
            why = error.strerror or error
            raise TargetError(f"{shlex.join(command)}: can't be started: {why}") from None
        return cls(process)

    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def said(self) -> list[str]:
        """The last lines that it wrote to standard output and standard error."""
        if self.exit_code() is not None:
            self._reader.join(_LAST_WORDS_SECONDS)
        return bytes(self._said).decode("utf-8", "replace").splitlines()

    def stop(self, seconds: float) -> bool:
        """End the group: SIGTERM, and SIGKILL after ``seconds``. Whether SIGTERM was enough."""
        deadline = time.monotonic() + seconds
        self._signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        # A shell that was only its parent may be gone at once. What it started still writes where
        # it wrote: the end of the output is the end of them all.
        self._reader.join(max(0.0, deadline - time.monotonic()))
        in_time = not self._reader.is_alive()
        self.kill()
        self._process.wait()
        return in_time

    def kill(self) -> None:
        """Send SIGKILL to the group."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        # PermissionError is what macOS says of a group that has only ended processes left.
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, number)

    def _read(self, output: IO[bytes]) -> None:
        with output:
            while chunk := os.read(output.fileno(), _KEPT_BYTES):
                self._said += chunk
                del self._said[:-_KEPT_BYTES]


class Processes:
    """All that run now, so that a run that is given up leaves none behind."""

    def __init__(self) -> None:
        self._running: set[Process] = set()
        self._given_up = False
        self._lock = threading.Lock()

    @contextmanager
    def holding(self, process: Process) -> Iterator[None]:
        """Count a process among them while the context lasts."""
        with self._lock:
            self._running.add(process)
            if self._given_up:
                process.kill()
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(process)

    def give_up(self) -> None:
        """Kill all, and whatever is started from now on."""
        with self._lock:
            self._given_up = True
            for process in self._running:
                process.kill()


@contextmanager
def ended_by_sigterm() -> Iterator[None]:
    """Make SIGTERM an exit like any other, which leaves no process behind. In the main thread."""
    before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
