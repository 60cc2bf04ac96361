"""Connects the commands to a running sidecar."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
from cio.sidecar.v1 import delivery_pb2_grpc

from cio_sidecar.cli.options import EXIT_UNAVAILABLE, EXIT_USAGE, Target, fail
from cio_sidecar.delivery.proxy import is_this_machine

CALL_SECONDS: Final = 30
"""How long a call may take that answers once, and soon."""

_OF_THE_CALLER: Final = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND)
_HINTS: Final = {
    grpc.StatusCode.UNAVAILABLE: "; is the sidecar running there (cio-sidecar serve)?",
    grpc.StatusCode.UNIMPLEMENTED: " Is that a CIO_SHARED_LISTEN, or an older sidecar? A "
    "sidecar's own CIO_LISTEN serves this",
}


@contextmanager
def calling(target: Target) -> Iterator["delivery_pb2_grpc.DeliveryServiceStub"]:
    """A stub of the service; a call that fails ends the command with words and an exit code."""
    try:
        with open_channel(target) as channel:
            yield delivery_pb2_grpc.DeliveryServiceStub(channel)
    except grpc.RpcError as error:
        code, words = error.code(), error.details() or ""
        if code in _OF_THE_CALLER:
            fail(words, EXIT_USAGE)
        fail(f"{target.address}: {code.name}: {words}{_HINTS.get(code, '')}", EXIT_UNAVAILABLE)


def channel_options(address: str) -> list[tuple[str, int]]:
    """Options of a channel to ``address``. A sidecar on this machine is reached without a proxy,
    whatever ``http_proxy`` and ``grpc_proxy`` say.
    """
    options = [("grpc.max_receive_message_length", -1)]
    if _is_local(address):
        options.append(("grpc.enable_http_proxy", 0))
    return options


def _is_local(address: str) -> bool:
    scheme, colon, rest = address.partition(":")
    if colon and scheme in ("unix", "unix-abstract"):
        return True
    if colon and scheme in ("dns", "ipv4", "ipv6"):
        address = rest.rpartition("/")[2]
    # A port may be missing, and an IPv6 address has colons of its own.
    return is_this_machine(address) or is_this_machine(address.rpartition(":")[0])


def open_channel(target: Target) -> grpc.Channel:
    """A channel, by TLS where the target says so. Raises OSError where a file can't be read."""
    options = channel_options(target.address)
    if target.tls_ca is None:
        return grpc.insecure_channel(target.address, options=options)
    credentials = grpc.ssl_channel_credentials(
        target.tls_ca.read_bytes(),
        target.tls_key.read_bytes() if target.tls_key else None,
        target.tls_cert.read_bytes() if target.tls_cert else None,
    )
    return grpc.secure_channel(target.address, credentials, options=options)
