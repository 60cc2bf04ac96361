"""Starts sidecars of this machine, and stops them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cio_conformance.caller import TargetError
from cio_conformance.result import Setup

STOP_SECONDS: Final = 30
"""How long a sidecar may take to stop after SIGTERM."""
_LINES_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Credentials:
    """Site id and API key of the fake's workspace."""

    site_id: str
    api_key: str


DEFAULT: Final = Credentials("conformance-site", "conformance-key")
"""What the suite uses where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar's process."""

    address: str
    """Where gRPC listens."""
    process: subprocess.Popen[bytes]
    log: Path
    """What it writes to standard output and standard error."""

    def check(self) -> None:
        """Raises TargetError, with the end of its log, where the process has ended."""
        if self.process.poll() is not None:
            raise TargetError(self.account())

    def account(self) -> str:
        """Whether it runs, and the end of its log."""
        code = self.process.poll()
        state = "runs" if code is None else f"ended with exit code {code}"
        lines = self.log.read_text("utf-8", "replace").splitlines()[-_LINES_SHOWN:]
        said = "\n".join(f"  {line}" for line in lines) or "  nothing"
        return f"the sidecar {state}; it said:\n{said}"


@contextmanager
def started(setup: Setup, base_url: str, credentials: Credentials) -> Iterator[Sidecar]:
    """A sidecar process that sends to ``base_url``, while the context lasts.

    It has just been started: wait until it serves. Raises TargetError if it does not stop.
    """
    with tempfile.TemporaryDirectory(prefix="cio-conformance-") as name:
        folder = Path(name)
        address = f"unix:{folder / 'grpc.sock'}"
        environment = {
            **without_settings(os.environ),
            "CIO_SITE_ID": credentials.site_id,
            "CIO_API_KEY": credentials.api_key,
            "CIO_BASE_URL": base_url,
            "CIO_LISTEN": address,
            "CIO_HTTP_LISTEN": "off",
            "CIO_DATA_DIR": str(folder / "data"),
            "CIO_API": setup.api,
            "CIO_PROFILE": setup.profile,
            **{variable(name): value for name, value in setup.settings},
        }
        if setup.overlay:
            environment["CIO_OVERLAY"] = str(setup.overlay.absolute())
        log = folder / "log.txt"
        with log.open("wb") as output:
            # The folder is its working directory: no file of the user's is in reach.
            process = subprocess.Popen(  # noqa: S603
                command("serve"),
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        try:
            yield Sidecar(address, process, log)
        finally:
            _stop(process)


def command(*arguments: str) -> list[str]:
    """The command line of ``cio-sidecar`` with arguments, by this Python."""
    return [sys.executable, "-m", "cio_sidecar", *arguments]


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return f"CIO_{setting.upper()}"


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the user's own settings of the sidecar."""
    return {
        name: value for name, value in environment.items() if not name.upper().startswith("CIO_")
    }


def _stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise TargetError(
            f"the sidecar did not stop within {STOP_SECONDS} s of SIGTERM, and was killed"
        ) from None
