"""What was just put, held in memory: most of it is leased at once, and need not be read."""

from collections import deque
from collections.abc import Sequence
from typing import Final

from cio_sidecar.event_queue.model import Entry, Leased

_MOST_BYTES: Final = 8 * 1024 * 1024
"""At how many bytes of operations no more is held."""


class Fresh:
    """The first events behind the last that was leased; none where some before them were not held.

    May be emptied at any time: then they are read.
    """

    def __init__(self) -> None:
        self._events: deque[Leased] = deque()
        self._bytes = 0

    def put(self, first: int, entries: Sequence[Entry], *, leased: int, accepted_at: int) -> None:
        """Hold entries that were just stored from the seq ``first`` on, if what was held reaches
        from ``leased``, the last seq that was leased, to the first of them."""
        follows = leased + len(self._events) + 1 == first
        if not follows or self._bytes >= _MOST_BYTES:
            return
        for seq, entry in enumerate(entries, first):
            if not entry.unpacked:
                return
            event = Leased(
                seq,
                entry.lane,
                entry.unpacked,
                message_id=entry.message_id,
                accepted_at=accepted_at,
            )
            self._events.append(event)
            self._bytes += event.size

    def take(self, most: int, most_bytes: int | None) -> list[Leased]:
        """Up to so many events, in order, until they have so many bytes; held no more then."""
        events = self._events
        taken: list[Leased] = []
        size = 0
        while events and len(taken) < most and (most_bytes is None or size < most_bytes):
            event = events.popleft()
            size += event.size
            taken.append(event)
        self._bytes -= size
        return taken

    def clear(self) -> None:
        """Hold none."""
        self._events.clear()
        self._bytes = 0
