"""Whether a queue can take events, which readiness and health tell."""

import logging
from collections.abc import Callable

from cio_sidecar.event_queue.errors import QueueDamaged, QueueError

log = logging.getLogger(__name__)


class Condition:
    """What is wrong with a queue file. Changed by the queue's thread, read by any."""

    def __init__(self, on_change: Callable[[], None]) -> None:
        """``on_change`` is called on the queue's thread."""
        self._on_change = on_change
        self.failing: str | None = None
        """Why the last write failed; None once the disk was tried out, and works."""
        self.misplaced: str | None = None
        """Why the open file is not the one at its path; None once it is again."""
        self.damaged: str | None = None
        """What of the file can't be read; for as long as it is open."""

    @property
    def because(self) -> str | None:
        """Why the queue can't take events; None where it can."""
        return self.damaged or self.misplaced or self.failing

    def found(self, error: QueueError) -> None:
        """Note that the file is damaged, or can't be written."""
        if isinstance(error, QueueDamaged):
            if self.damaged is None:
                self.damaged = str(error)
                log.error("the queue takes no more events, and delivers what it can: %s", error)
                self._on_change()
        elif self.failing is None:
            self.failing = str(error)
            log.error("the queue can't take events: %s", error)
            self._on_change()

    def placed(self, error: QueueError | None) -> None:
        """Note what Place.check() found."""
        if isinstance(error, QueueDamaged):
            self.found(error)
        elif error is not None:
            if self.misplaced is None:
                log.error("the queue takes no more events, and delivers what it has: %s", error)
                self.misplaced = str(error)
                self._on_change()
        elif self.misplaced is not None:
            self.misplaced = None
            log.warning("the queue file is in its place again")
            self._on_change()

    def works(self) -> None:
        """Note that the disk can be written again."""
        if self.failing is not None:
            self.failing = None
            log.warning("the queue's disk can be written again")
            self._on_change()

    def require_intact(self) -> None:
        """Raises QueueError: what is accepted must not go where it may be lost."""
        if self.damaged is not None:
            raise QueueDamaged(self.damaged)
        if self.misplaced is not None:
            raise QueueError(self.misplaced)
