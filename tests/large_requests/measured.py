"""A sidecar as a process, and what one request does to its event loop and its memory."""

import http.client
import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from tests.delivery.process import DIES_WITH_US
from tests.delivery.support import API_KEY, SITE_ID, free_port
from tests.large_requests.requests import Request

ROOT: Final = Path(__file__).parent.parent.parent
WRITE_KEY: Final = "write-key"
_STREAMING: Final = ("ReplayDeadLetters", "ExportDeadLetters", "WatchOutcomes")
_AUTHORIZATION: Final = "Basic d3JpdGUta2V5Og=="
_CALL_SECONDS: Final = 100


@dataclass(frozen=True)
class Measurement:
    """What one request did."""

    answer: str
    stall_seconds: float
    """The longest time in which /livez was not answered."""
    growth_bytes: int
    """Highest resident size during the request, less that before it."""
    peak_bytes: int


class MeasuredSidecar:
    """``cio-sidecar serve``, a process that asks it for a sign of life, and a caller."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.log = folder / "log"
        sink = _start(stack, "tests.large_requests.sink")
        assert sink.stdout
        url = f"http://127.0.0.1:{sink.stdout.readline().strip()}"
        health, ingest, grpc_port = free_port(), free_port(), free_port()
        environment = {
            "PATH": os.environ["PATH"],
            "CIO_SITE_ID": SITE_ID,
            "CIO_API_KEY": API_KEY,
            "CIO_BASE_URL": url,
            "CIO_LISTEN": f"127.0.0.1:{grpc_port}",
            "CIO_HTTP_LISTEN": f"127.0.0.1:{health}",
            "CIO_HTTP_INGEST": f"127.0.0.1:{ingest}",
            "CIO_HTTP_INGEST_WRITE_KEY": WRITE_KEY,
            "CIO_DATA_DIR": str(folder / "data"),
            "CIO_QUEUE_MIN_FREE_BYTES": "0",
        }
        log = stack.enter_context(self.log.open("w"))
        self._process = subprocess.Popen(
            [*DIES_WITH_US, sys.executable, "-m", "cio_sidecar", "serve"],
            env=environment,
            cwd=folder,
            stderr=log,
        )
        stack.callback(self._process.wait)
        stack.callback(self._process.kill)
        self._ingest = ingest
        self._channel = stack.enter_context(
            grpc.insecure_channel(
                f"127.0.0.1:{grpc_port}",
                options=[
                    ("grpc.max_send_message_length", -1),
                    ("grpc.max_receive_message_length", -1),
                ],
            )
        )
        grpc.channel_ready_future(self._channel).result(timeout=30)
        self._heartbeat = _start(stack, "tests.large_requests.heartbeat", "127.0.0.1", str(health))

    def measure(self, request: Request) -> Measurement:
        """Send a request, wait for its answer, and say what it did."""
        Path(f"/proc/{self._process.pid}/clear_refs").write_text("5")
        before = self._memory("VmRSS")
        self._longest_wait()
        answer = self._http(request) if request.over_http else self._grpc(request)
        stall = self._longest_wait()
        assert self._process.poll() is None, f"{request.name} ended it:\n{self.log.read_text()}"
        peak = self._memory("VmHWM")
        return Measurement(answer, stall, peak - before, peak)

    def _grpc(self, request: Request) -> str:
        channel: Any = self._channel
        try:
            if request.path.endswith(_STREAMING):
                deque(channel.unary_stream(request.path)(request.body, timeout=1), maxlen=0)
            elif request.path.endswith("/Stream"):
                stream = channel.stream_stream(request.path)
                deque(stream(iter([request.body]), timeout=_CALL_SECONDS), maxlen=0)
            else:
                channel.unary_unary(request.path)(request.body, timeout=_CALL_SECONDS)
        except grpc.RpcError as error:
            return f"{error.code().name} {error.details()}"[:300]
        return "OK"

    def _http(self, request: Request) -> str:
        headers = {"Content-Type": "application/json"}
        if request.authorized:
            headers["Authorization"] = _AUTHORIZATION
        if request.gzipped:
            headers["Content-Encoding"] = "gzip"
        connection = http.client.HTTPConnection("127.0.0.1", self._ingest, timeout=_CALL_SECONDS)
        # It may answer before it has read the body.
        with suppress(BrokenPipeError, ConnectionResetError):
            connection.request("POST", request.path, request.body, headers)
        try:
            response = connection.getresponse()
            return f"{response.status} {response.read(300)!r}"
        except OSError as error:
            return type(error).__name__
        finally:
            connection.close()

    def _longest_wait(self) -> float:
        assert self._heartbeat.stdin
        assert self._heartbeat.stdout
        self._heartbeat.stdin.write("\n")
        self._heartbeat.stdin.flush()
        return float(self._heartbeat.stdout.readline())

    def _memory(self, name: str) -> int:
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)
        assert found
        return int(found[1]) * 1024


def _start(stack: ExitStack, *module: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [*DIES_WITH_US, sys.executable, "-m", *module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    stack.enter_context(process)
    stack.callback(process.kill)
    return process


@contextmanager
def measured_sidecar(folder: Path) -> Iterator[MeasuredSidecar]:
    """A sidecar that runs until the block ends."""
    with ExitStack() as stack:
        yield MeasuredSidecar(folder, stack)
