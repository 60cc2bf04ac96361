"""A driver's process: event lines go in, receipts come out."""

import os
import queue
import shlex
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import IO, Final, Self

from cio_conformance.drivers import Call
from cio_conformance.drivers.lines import answer_of
from cio_conformance.run.caller import TargetError
from cio_conformance.run.sidecars import without_settings
from cio_conformance.run.verdict import Answer

_LINES_SHOWN: Final = 20
_END_SECONDS: Final = 30
"""How long a driver may take to end once it is given no more."""


class Driver:
    """A running driver; to be used in a ``with`` block, which ends it.

    ``command`` is started where the suite was started. Raises TargetError.
    """

    def __init__(
        self,
        command: Sequence[str],
        address: str,
        call: Call = "send",
        *,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        """``variables`` are more of its environment, such as CIO_TLS_CA_FILE."""
        self._name = shlex.join(command)
        try:
            self._process = subprocess.Popen(  # noqa: S603
                command,
                env={
                    **without_settings(os.environ),
                    **(variables or {}),
                    "CIO_TARGET": address,
                    "CIO_CALL": call,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )
        except OSError as error:
            why = error.strerror or error
            raise TargetError(f"{self._name}: can't be started: {why}; is it built?") from None
        assert self._process.stdin
        assert self._process.stdout
        assert self._process.stderr
        self._input = self._process.stdin
        self._receipts: queue.Queue[bytes | None] = queue.Queue()
        self._said: list[str] = []
        self._threads = [
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True),
            threading.Thread(target=self._listen, args=(self._process.stderr,), daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if exception_type is not None:
            self.kill()
        self.close()

    def give(self, lines: Sequence[bytes]) -> None:
        """Write event lines. Raises TargetError where the driver reads no more."""
        try:
            self._input.write(b"".join(lines))
            self._input.flush()
        except OSError:
            raise TargetError(self.account("reads no more events")) from None

    def receipt(self, seconds: float) -> bytes:
        """The next receipt, which may take so long. Raises TargetError."""
        try:
            line = self._receipts.get(timeout=seconds)
        except queue.Empty:
            raise TargetError(self.account(f"gave no receipt within {seconds:g} s")) from None
        if line is None:
            self._receipts.put(None)
            raise TargetError(self.account("ended before it had given all receipts"))
        return line

    def send(self, lines: Sequence[bytes], seconds: float) -> list[Answer]:
        """Write event lines, and wait for a receipt of each, ``seconds`` for the next at most.

        Raises TargetError.
        """
        self.give(lines)
        try:
            return [answer_of(self.receipt(seconds)) for _ in lines]
        except ValueError as error:
            raise TargetError(self.account(str(error))) from None

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def close(self) -> int:
        """Give it no more, and wait for its end; its exit code. Raises TargetError."""
        with suppress(OSError):
            self._input.close()
        try:
            code = self._process.wait(_END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            self._process.wait()
            raise TargetError(
                self.account(f"did not end within {_END_SECONDS} s of the end of its input")
            ) from None
        finally:
            for thread in self._threads:
                thread.join()
        return code

    def account(self, what: str) -> str:
        """What it did, with the end of what it wrote to standard error."""
        said = "\n".join(f"  {line}" for line in self._said[-_LINES_SHOWN:]) or "  nothing"
        return f"{self._name}: {what}; it said:\n{said}"

    def _read(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self._receipts.put(line)
        self._receipts.put(None)

    def _listen(self, output: IO[bytes]) -> None:
        with output:
            for line in output:
                self._said.append(line.decode("utf-8", "replace").rstrip())
                del self._said[:-_LINES_SHOWN]
