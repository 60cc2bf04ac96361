"""The commands reach a sidecar on this machine without a proxy."""

from collections.abc import Callable

import pytest
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.cli.client import channel_options

from tests.app.command import run


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
        ("127.example.com:1", False),
    ],
)
def test_channel_options_ignore_a_proxy_only_for_this_machine(address: str, *, local: bool) -> None:
    assert (("grpc.enable_http_proxy", 0) in channel_options(address)) == local


@pytest.mark.parametrize("arguments", [("send",), ("delivery", "stats"), ("dead-letters", "list")])
async def test_commands_reach_loopback_whatever_the_proxy(
    make_settings: Callable[..., Settings], arguments: tuple[str, ...]
) -> None:
    env = dict.fromkeys(("http_proxy", "https_proxy", "grpc_proxy"), "http://127.0.0.1:1")
    env |= dict.fromkeys(("no_proxy", "NO_PROXY", "no_grpc_proxy"), "")
    async with Sidecar(make_settings(listen="127.0.0.1:0")) as sidecar:
        event = b'{"type":"track","event":"E","userId":"u1"}'
        finished = await run(*arguments, "--target", sidecar.address, stdin=event, env=env)
    assert finished.code == 0, finished.err
