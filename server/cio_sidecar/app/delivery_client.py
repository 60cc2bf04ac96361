"""Calls DeliveryService of a running sidecar, for the commands."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
from cio.sidecar.v1 import delivery_pb2_grpc

from cio_sidecar.app.channel import open_channel
from cio_sidecar.app.command import EXIT_UNAVAILABLE, EXIT_USAGE, Target, fail

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
