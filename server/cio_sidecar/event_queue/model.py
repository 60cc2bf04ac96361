"""What a queue holds: entries going in, leases coming out, failures ending in dead letters."""

from dataclasses import dataclass, field
from typing import NamedTuple

from cio_sidecar.customerio.encoders import V1_ONLY, Operation


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
class FinalFailure:
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
