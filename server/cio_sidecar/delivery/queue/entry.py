"""What a queue holds: entries going in, leases coming out, burials ending in dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct
from typing import Final, NamedTuple

from cio_sidecar.customerio.operation import V1_ONLY, Operation

_HEAD: Final = Struct(">BIH")
"""Before each operation: its marks, and the lengths in bytes of its item and what is beside it."""
_HEAD_BYTES: Final = _HEAD.size


class QueueError(Exception):
    """The queue can't do what was asked; nothing was changed. ``str()`` says why and what to do."""


class QueueDamaged(QueueError):  # noqa: N818 (named for the condition)
    """A part of the file can't be read or changed; other parts may be good."""


class QueueFull(QueueError):  # noqa: N818 (named for the condition, as in asyncio)
    """The queue has reached its limit; try again when events have been delivered."""


@dataclass(slots=True)
class Line:
    """Puts that are to be stored in the order in which they are made. When one is turned away
    because the queue is full, so are all behind it, until somebody opens the line again; when one
    fails in any other way, all behind it are turned away for good."""

    puts: int = 0
    """How many were made so far."""
    full_at: int | None = None
    """Which of them found the queue full, counted from 1; None while the line is open."""
    failed: bool = False
    """Whether one of them could not be stored, for another reason."""

    @property
    def closed(self) -> bool:
        """Whether what is put now is turned away."""
        return self.full_at is not None

    def open(self) -> None:
        """Turn away no more for what was turned away before."""
        self.full_at = None

    def fail(self, error: QueueError) -> None:
        """Note why one was not stored."""
        self.failed = self.failed or not isinstance(error, QueueFull)


class Entry(NamedTuple):
    """An event to be stored."""

    message_id: str
    remember: bool
    """Whether a repeat of the message_id is to be told; not for an id that the sidecar made."""
    lane: str
    event: bytes
    """Canonical JSON."""
    operations: bytes
    """As pack() makes them."""
    unpacked: tuple[Operation, ...] = ()
    """The same before pack(), for whoever leases it soon; empty where they are not at hand."""


class Leased:
    """An event taken out for delivery. It is on disk until it is settled."""

    __slots__ = ("accepted_at", "attempts", "done", "lane", "message_id", "operations", "seq",
                 "size", "v1_only")  # fmt: skip

    def __init__(
        self,
        seq: int,
        lane: str,
        operations: tuple[Operation, ...],
        *,
        message_id: str = "",
        accepted_at: int = 0,
    ) -> None:
        """``accepted_at`` is in Unix seconds."""
        self.seq = seq
        """Its place in the queue; ascending."""
        self.lane = lane
        self.operations = operations
        self.message_id = message_id
        self.accepted_at = accepted_at
        self.attempts = 0
        """How often its delivery was tried since it was leased."""
        self.done = 0
        """How many of its operations were delivered singly, by v1."""
        self.size = 0
        """Bytes of its operations as they stand in a batch, with a comma after each."""
        self.v1_only = False
        """Whether it can't go in a batch."""
        for _, item, marks, _ in operations:
            self.size += len(item) + 1
            if marks & V1_ONLY:
                self.v1_only = True


@dataclass(frozen=True, slots=True)
class Burial:
    """The end of an event that is not to be delivered: a dead letter.

    ``status`` is 0 and the request empty where it was given up without an answer.
    """

    seq: int
    reason: str
    status: int
    attempts: int
    method: str
    path: str
    request: bytes
    response: bytes


@dataclass(frozen=True, slots=True)
class Stats:
    """What the queue holds."""

    waiting: int
    """Events that are not settled, those in flight included."""
    waiting_bytes: int
    """Bytes of those events, as they are stored."""
    oldest_accepted_at: int | None
    """When the oldest of them was accepted, in Unix seconds."""
    dead_letters: int
    dead_letter_bytes: int
    """Bytes of the dead letters: of event, operations, request and response."""
    file_bytes: int
    """Bytes of the file in use, dead letters and remembered ids included."""
    wal_bytes: int = field(default=0, compare=False)
    """Bytes of the file beside it that SQLite writes first; they don't tell what it holds."""
    disk_free_bytes: int | None = field(default=None, compare=False)
    """Bytes of the disk that are free; None where the system doesn't tell."""


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
