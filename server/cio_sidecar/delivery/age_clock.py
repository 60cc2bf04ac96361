"""The clock by which ages are measured: it does not follow a wall clock that jumps ahead at once.

A wall clock may jump by days when a suspended machine resumes, or by an error. What is waiting gets
its chance to be delivered before the jump counts for its age.
"""

import logging
from collections.abc import Callable
from typing import Final

JUMP_SECONDS: Final = 60.0
"""By how much the wall clock may get ahead of the monotonic one before it counts as a jump."""
HOLD_SECONDS: Final = 3600.0
"""How long after a jump ahead it starts to count."""

log = logging.getLogger(__name__)


class AgeClock:
    """Returns Unix seconds for comparing ages. Not for use by several threads."""

    def __init__(self, wall_clock: Callable[[], float], clock: Callable[[], float]) -> None:
        """``wall_clock`` gives Unix seconds, ``clock`` is monotonic, in seconds."""
        self._wall_clock = wall_clock
        self._clock = clock
        self._offset = wall_clock() - clock()
        """Of the wall clock from the monotonic one, as far as it counts."""
        self._jumped_to: float | None = None
        """The offset after a jump that does not count yet."""
        self._jumped_at = 0.0

    def __call__(self) -> float:
        """Return the time in Unix seconds."""
        now = self._clock()
        offset = self._wall_clock() - now
        # A jump back makes everything younger: nothing is lost by following it.
        if offset - self._offset <= JUMP_SECONDS:
            self._offset = offset
            self._jumped_to = None
        elif self._jumped_to is None or abs(offset - self._jumped_to) > JUMP_SECONDS:
            log.warning(
                "the clock jumped ahead by %.0f seconds: ages count without it for an hour",
                offset - self._offset,
            )
            self._jumped_to, self._jumped_at = offset, now
        elif now - self._jumped_at >= HOLD_SECONDS:
            self._offset = offset
            self._jumped_to = None
        return now + self._offset
