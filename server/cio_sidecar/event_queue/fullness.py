"""Whether new events are rejected because the queue or its disk is full, and the log's word on
it.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

_SAY_EVERY_SECONDS: Final = 60.0

log = logging.getLogger(__name__)


class Fullness:
    """Changed by the queue's thread, read by any."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """``clock`` is monotonic, in seconds."""
        self._clock = clock
        self._because: str | None = None
        self._changed_at = clock()
        self._said = False
        self._said_at = float("-inf")

    @property
    def because(self) -> str | None:
        """Why the last events were rejected; None once there is room again."""
        return self._because

    @because.setter
    def because(self, because: str | None) -> None:
        if (because is None) != (self._because is None):
            self._changed_at = self._clock()
        self._because = because

    @property
    def seconds(self) -> float:
        """For how long it has been full, or has not."""
        return self._clock() - self._changed_at

    def look(self, *, has_room: bool) -> None:
        """Log, once a minute at most, that events are rejected, and when they no longer
        are: when there ``has_room`` been made.
        """
        if self.because is None:
            return
        now = self._clock()
        if not self._said and now - self._said_at >= _SAY_EVERY_SECONDS:
            log.warning(
                "calls with new events are rejected, what was accepted is kept: %s", self.because
            )
            self._said = True
            self._said_at = now
        if has_room:
            self.because = None
            if self._said:
                log.info("the queue has room again: new events are accepted")
                self._said = False
