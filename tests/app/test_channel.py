"""The commands reach a sidecar on this machine without a proxy."""

import asyncio
from collections.abc import Callable

import grpc
import pytest
from cio_sidecar.app.channel import channel_options, open_channel
from cio_sidecar.app.command import Target
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar


@pytest.mark.parametrize(
    ("address", "local"),
    [
        ("127.0.0.1:1", True),
        ("localhost:1", True),
        ("[::1]:1", True),
        ("dns:///localhost:1", True),
        ("unix:/run/x.sock", True),
        ("sidecar.example:1", False),
        ("10.0.0.1:1", False),
    ],
)
def test_channel_options_ignore_a_proxy_only_for_this_machine(address: str, *, local: bool) -> None:
    assert (("grpc.enable_http_proxy", 0) in channel_options(address)) == local


async def test_open_channel_ignores_http_proxy_for_loopback(
    make_settings: Callable[..., Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    for name in ("no_proxy", "no_grpc_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    async with Sidecar(make_settings(listen="127.0.0.1:0")) as sidecar:
        with open_channel(Target(sidecar.address, None, None, None)) as channel:
            ready = grpc.channel_ready_future(channel)
            await asyncio.to_thread(ready.result, 10)
