"""Clients that keep their connections alive by pings are not disconnected."""

import asyncio
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from tests.rpc.harness import Caller

PINGS = Path(__file__).parent / "pings"
READY = {grpc.ChannelConnectivity.READY}


@pytest.mark.parametrize("kind", ["idle", "stream"])
async def test_pings_of_grpc_python_keep_the_connection(caller: Caller, kind: str) -> None:
    """By a server that takes pings every five minutes alone, it is lost after the third."""
    states: list[grpc.ChannelConnectivity] = []
    options = [
        ("grpc.keepalive_time_ms", 1_100),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.use_local_subchannel_pool", 1),
    ]

    def run() -> None:
        with grpc.insecure_channel(caller.sidecar.address, options=options) as channel:
            stub: Any = health_pb2_grpc.HealthStub(channel)
            stub.Check(health_pb2.HealthCheckRequest(), wait_for_ready=True)
            if kind == "stream":
                watch = iter(stub.Watch(health_pb2.HealthCheckRequest()))
                next(watch)
            channel.subscribe(states.append)
            deadline = time.monotonic() + 6
            while time.monotonic() < deadline and set(states) <= READY:
                time.sleep(0.05)

    await asyncio.to_thread(run)
    assert set(states) == READY


@pytest.mark.soak
@pytest.mark.timeout(300)
@pytest.mark.parametrize("kind", ["idle", "stream"])
async def test_pings_of_grpc_go_keep_the_connection(caller: Caller, kind: str) -> None:
    """Every ten seconds, the shortest interval that grpc-go allows, for forty-five."""
    if shutil.which("go") is None:
        if os.environ.get("CI"):
            raise AssertionError("go is not installed")
        pytest.skip("go is not installed")
    command = ["go", "run", ".", caller.sidecar.address, kind, "45"]
    ran = await asyncio.to_thread(
        subprocess.run, command, cwd=PINGS, capture_output=True, text=True, check=False
    )
    assert (ran.stdout, ran.returncode) == ("0\n", 0), ran.stderr
