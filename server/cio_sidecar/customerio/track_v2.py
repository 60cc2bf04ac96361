"""Track API v2: operations joined into batches, without parsing them."""

from collections.abc import Iterable
from typing import Final

from cio_sidecar.customerio.operation import Operation
from cio_sidecar.customerio.request import Request

BATCH_PATH: Final = "/api/v2/batch"
_OPEN: Final = b'{"batch":['
_CLOSE: Final = b"]}"
ENVELOPE_BYTES: Final = len(_OPEN) + len(_CLOSE)
"""Bytes of a batch's body besides its items and the comma after each but the last."""


def batch(operations: Iterable[Operation]) -> Request:
    """``POST /api/v2/batch`` with the operations in their order."""
    items = b",".join(operation.item for operation in operations)
    return Request("POST", BATCH_PATH, _OPEN + items + _CLOSE)


def single(operation: Operation) -> Request:
    """An operation as it would stand in a batch: ``body`` is the item alone; for showing."""
    return Request("POST", BATCH_PATH, operation.item)
