"""The processes of a benchmark: sidecars, servers that do nothing, the load and its sink."""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from bench.machine import LOAD_CORE, SERVER_CORE, on_core

ROOT: Final = Path(__file__).parent.parent
WORK: Final = ROOT / ".bench"
"""Where queues, events and what is compiled are kept: on a disk, which /tmp need not be."""
_SOURCES: Final = Path(__file__).parent / "load"
# What is measured is on this machine, whatever http_proxy says.
CHANNEL_OPTIONS: Final = (("grpc.enable_http_proxy", 0),)
_DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_GO: Final = {"GOMAXPROCS": "1", "GOGC": "400"}


class Broken(Exception):  # noqa: N818 (named for the condition)
    """A benchmark can't be run. ``str()`` says why."""


def build_load() -> Path:
    """Compile the load; its path. Raises Broken, also where another tool is missing."""
    if shutil.which("taskset") is None:
        raise Broken("taskset is missing, which comes with util-linux")
    if shutil.which("go") is None:
        raise Broken("the load is written in Go: install it (https://go.dev/dl), 1.21 or newer")
    WORK.mkdir(exist_ok=True)
    program = WORK / "load"
    command = ["go", "build", "-buildvcs=false", "-o", str(program), "."]
    # A newer Go than the one installed comes from the module proxy, as go.mod asks for it.
    environment = {"GOTOOLCHAIN": "auto", **os.environ}
    built = subprocess.run(
        command, cwd=_SOURCES, env=environment, capture_output=True, text=True, check=False
    )
    if built.returncode:
        raise Broken(f"bench/load can't be compiled:\n{built.stderr}")
    return program


@dataclass(frozen=True)
class Server:
    """A process that serves."""

    pid: int
    target: str
    """host:port"""
    ready_seconds: float = 0.0
    """From its start until it was SERVING."""


@contextmanager
def sidecar(
    sink: str,
    settings: Mapping[str, str] = {},
    *,
    uncapped: bool = False,
    core: int = SERVER_CORE,
) -> Iterator[Server]:
    """A sidecar with an empty queue that delivers to the sink; removed with its queue at the end.

    ``settings`` are variables without ``CIO_``, in lower case. ``uncapped`` lifts the ceiling of
    requests a second.
    """
    with tempfile.TemporaryDirectory(dir=WORK, ignore_cleanup_errors=True) as folder:
        target = f"127.0.0.1:{free_port()}"
        given = {
            "site_id": "site",
            "api_key": "key",
            "base_url": f"http://{sink}",
            "listen": target,
            "http_listen": "off",
            "data_dir": f"{folder}/data",
            "log_level": "error",
            "shutdown": "leave",
            **settings,
        }
        environment = {f"CIO_{name.upper()}": value for name, value in given.items()}
        module = "bench.uncapped" if uncapped else "cio_sidecar"
        command = [sys.executable, "-m", module, "serve"]
        began = time.monotonic()
        with _running(on_core(core, *command), environment) as process:
            _until_serving(process, target)
            yield Server(process.pid, target, time.monotonic() - began)


@contextmanager
def noop() -> Iterator[Server]:
    """A server in Python that decodes requests, and does nothing with them."""
    target = f"127.0.0.1:{free_port()}"
    command = on_core(SERVER_CORE, sys.executable, "-m", "bench.noop", target)
    with _running(command, {}) as process:
        _until_serving(process, target)
        yield Server(process.pid, target)


@contextmanager
def go_noop(load: Path) -> Iterator[Server]:
    """A server in Go that does nothing: what the load can do at most."""
    with _running(on_core(SERVER_CORE, str(load), "noop"), _GO) as process:
        yield Server(process.pid, _announced(process))


class Sink:
    """The bare HTTP server that takes what a sidecar sends."""

    def __init__(self, address: str) -> None:
        self.address = address

    def reset(self) -> None:
        """Count from nothing."""
        self._get("/reset")

    def tally(self) -> dict[str, Any]:
        """What came since the last reset."""
        found: dict[str, Any] = json.loads(self._get("/tally"))
        return found

    def until(self, operations: int, *, idle_seconds: float = 20) -> dict[str, Any]:
        """The tally once so many operations have come. Raises Broken when no more come."""
        last, since = -1, time.monotonic()
        while (found := self.tally())["operations"] < operations:
            if found["operations"] != last:
                last, since = found["operations"], time.monotonic()
            elif time.monotonic() - since > idle_seconds:
                raise Broken(f"only {last:,} of {operations:,} operations were delivered")
            time.sleep(0.02)
        return found

    def _get(self, path: str) -> bytes:
        with _DIRECT.open(f"http://{self.address}{path}", timeout=30) as answer:
            data: bytes = answer.read()
            return data


@contextmanager
def sink(load: Path) -> Iterator[Sink]:
    """A running sink."""
    with _running(on_core(LOAD_CORE, str(load), "sink"), _GO) as process:
        yield Sink(_announced(process))


def run_load(load: Path, target: str, flags: Sequence[str]) -> dict[str, Any]:
    """Send events; what ``load run`` printed. Raises Broken."""
    command = on_core(LOAD_CORE, str(load), "run", "-target", target, *flags)
    ran = subprocess.run(command, env=_GO, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Broken(ran.stderr.strip())
    found: dict[str, Any] = json.loads(ran.stdout)
    return found


def run_python(module: str, *arguments: str) -> float:
    """Run a module where servers run; the number that it printed. Raises Broken."""
    command = on_core(SERVER_CORE, sys.executable, "-m", module, *arguments)
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise Broken(f"{module} {' '.join(arguments)} failed:\n{ran.stderr}")
    return float(ran.stdout)


def free_port() -> int:
    """A port of 127.0.0.1 that nobody has at the moment."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port


@contextmanager
def _running(
    command: Sequence[str], environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    path = {"PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin"}
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**path, **environment},
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()


def _announced(process: "subprocess.Popen[str]") -> str:
    assert process.stdout
    line = process.stdout.readline()
    if not line:
        raise Broken("a server did not start")
    address: str = json.loads(line)["address"]
    return address


def _until_serving(process: "subprocess.Popen[str]", target: str) -> None:
    """Wait until the health service says SERVING. Raises Broken."""
    host, _, port = target.rpartition(":")
    while process.poll() is None:
        # gRPC would wait long before it tries again.
        with suppress(OSError):
            socket.create_connection((host, int(port)), timeout=1).close()
            break
        time.sleep(0.002)
    with grpc.insecure_channel(target, options=CHANNEL_OPTIONS) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        while process.poll() is None:
            with suppress(grpc.RpcError):
                answer = health.Check(health_pb2.HealthCheckRequest(), timeout=5)
                if answer.status == health_pb2.HealthCheckResponse.SERVING:
                    return
            time.sleep(0.002)
    raise Broken(f"a server ended before it served, with exit code {process.returncode}")
