"""Keeps one stream's writes in order."""

from dataclasses import dataclass

from cio_sidecar.event_queue.errors import QueueError, QueueFull


@dataclass(slots=True)
class PutOrder:
    """Keeps one stream's writes in order. After a write is rejected because the queue is full,
    later writes are rejected until ``open()``; after any other failure they are rejected for the
    rest of the stream."""

    puts: int = 0
    """How many were made so far."""
    full_at: int | None = None
    """Which of them found the queue full, counted from 1; None while the line is open."""
    failed: bool = False
    """Whether one of them could not be stored, for another reason."""

    @property
    def closed(self) -> bool:
        """Whether what is put now is rejected."""
        return self.full_at is not None

    def open(self) -> None:
        """Turn away no more for what was rejected before."""
        self.full_at = None

    def fail(self, error: QueueError) -> None:
        """Note why one was not stored."""
        self.failed = self.failed or not isinstance(error, QueueFull)
