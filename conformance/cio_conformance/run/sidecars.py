"""Starts what a run needs on this machine, sidecars and the fake, and stops it."""

import os
import socket
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cio_fake import FakeCustomerIO, Received
from cio_fake.host_httpserver import hosted

from cio_conformance.run.caller import TargetError
from cio_conformance.run.credentials import Credentials
from cio_conformance.run.forked_sidecar import WarmSidecar
from cio_conformance.run.processes import Launch, Process, Processes
from cio_conformance.run.result import Setup

STOP_SECONDS: Final = 30
"""How long a sidecar may take to stop after SIGTERM."""
_LINES_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Sidecar:
    """A sidecar's process."""

    address: str
    """Where gRPC listens."""
    process: Process

    def check(self) -> None:
        """Raises TargetError, with the end of its output, where the process has ended."""
        if self.process.exit_code() is not None:
            raise TargetError(self.account())

    def account(self) -> str:
        """Whether it runs, and the end of its output."""
        code = self.process.exit_code()
        state = "runs" if code is None else f"ended with exit code {code}"
        lines = self.process.said()[-_LINES_SHOWN:]
        said = "\n".join(f"  {line}" for line in lines) or "  nothing"
        return f"the sidecar {state}; it said:\n{said}"


@contextmanager
def started(
    setup: Setup,
    base_url: str,
    credentials: Credentials,
    launch: Launch | None = None,
    processes: Processes | None = None,
    *,
    dedup: bool = True,
) -> Iterator[Sidecar]:
    """A sidecar process that sends to ``base_url``, while the context lasts.

    Without ``dedup`` it is told to remember no message ids.

    It has just been started: wait until it serves. Without ``launch`` it is this package's own.
    Raises TargetError if it can't be started, or does not stop.
    """
    with tempfile.TemporaryDirectory(prefix="cio-conformance-") as name:
        folder = Path(name)
        tcp = launch is not None and launch.tcp
        address = f"127.0.0.1:{_free_port()}" if tcp else f"unix:{folder / 'grpc.sock'}"
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
        if launch is None:
            # It stores next to nothing, and should run on a disk that is nearly full, too.
            environment["CIO_QUEUE_MIN_FREE_BYTES"] = "0"
        if not dedup:
            environment["CIO_DEDUP_WINDOW_SECONDS"] = "0"
        if setup.overlay:
            environment["CIO_OVERLAY"] = str(setup.overlay.absolute())
        # Our own works in the folder, where no file of the user's is in reach; a command of the
        # user's may name files of theirs.
        process = (
            Process.start(launch.command, environment)
            if launch
            else Process(WarmSidecar(["serve"], environment, folder))
        )
        sidecar = Sidecar(address, process)
        with (processes or Processes()).holding(process):
            try:
                yield sidecar
            finally:
                in_time = process.stop(STOP_SECONDS)
        if not in_time:
            raise TargetError(
                f"the sidecar did not stop within {STOP_SECONDS} s of SIGTERM, and was killed\n"
                f"{sidecar.account()}"
            )


def variable(setting: str) -> str:
    """The environment variable of a setting."""
    return f"CIO_{setting.upper()}"


def without_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """An environment without the user's own settings of the sidecar."""
    return {
        name: value for name, value in environment.items() if not name.upper().startswith("CIO_")
    }


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@contextmanager
def hosted_fake(
    credentials: Credentials,
    on_received: Callable[[Received], None],
    host: str = "127.0.0.1",
    port: int = 0,
) -> Iterator[tuple[FakeCustomerIO, str]]:
    """A fake Customer.io, served while the context lasts, and its base URL; port 0: a free one.

    ``on_received`` is called for each request, on the host's thread. Raises TargetError.
    """
    fake = FakeCustomerIO(
        credentials.site_id, credentials.api_key, keep_requests=0, on_received=on_received
    )
    with ExitStack() as stack:
        try:
            url = stack.enter_context(hosted(fake, host, port))
        except OSError as error:
            why = error.strerror or error
            raise TargetError(f"the fake can't listen on {host}:{port}: {why}") from None
        yield fake, url
