"""Operations as one blob, and back."""

from collections.abc import Sequence
from struct import Struct
from typing import Final

from cio_sidecar.customerio.encoders import Operation

_HEAD: Final = Struct(">BIH")
"""Before each operation: its marks, and the lengths in bytes of its item and what is beside it."""
_HEAD_BYTES: Final = _HEAD.size


def pack(operations: Sequence[Operation]) -> bytes:
    """Operations as one blob; their items stay readable bytes within it."""
    if len(operations) == 1:
        _, item, marks, beside = operations[0]
        return _HEAD.pack(marks, len(item), len(beside)) + item + beside
    parts: list[bytes] = []
    for operation in operations:
        parts.append(_HEAD.pack(operation.marks, len(operation.item), len(operation.beside)))
        parts.append(operation.item)
        parts.append(operation.beside)
    return b"".join(parts)


def unpack(lane: str, blob: bytes) -> tuple[Operation, ...]:
    """The operations that pack() was given. Raises ValueError for anything else."""
    operations = []
    at, size = 0, len(blob)
    while at < size:
        start = at + _HEAD_BYTES
        if start > size:
            raise ValueError("a stored operation is cut short")
        marks, item_length, beside_length = _HEAD.unpack_from(blob, at)
        middle = start + item_length
        at = middle + beside_length
        if at > size:
            raise ValueError("a stored operation is cut short")
        operations.append(Operation(lane, blob[start:middle], marks, blob[middle:at]))
    return tuple(operations)
