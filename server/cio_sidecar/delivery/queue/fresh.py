"""What was just put, held in memory: most of it is leased at once, and need not be read."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

from cio_sidecar.delivery.queue.entry import Stored

_MOST_BYTES: Final = 8 * 1024 * 1024
"""At how many bytes of operations no more is held."""


class Fresh:
    """The first events behind the last that was leased; none where some before them were not held.

    May be emptied at any time: then they are read.
    """

    def __init__(self) -> None:
        self._events: deque[Stored] = deque()
        self._bytes = 0

    def put(self, events: Sequence[Stored], leased: int) -> None:
        """Hold events that were just stored, if what was held reaches from ``leased``, the last seq
        that was leased, to the first of them."""
        follows = not events or leased + len(self._events) + 1 == events[0].seq
        if follows and self._bytes < _MOST_BYTES:
            self._events.extend(events)
            self._bytes += sum([len(event.operations) for event in events])

    def take(self) -> Iterator[Stored]:
        """The events in order; each is held no more once it is given."""
        while self._events:
            event = self._events.popleft()
            self._bytes -= len(event.operations)
            yield event

    def clear(self) -> None:
        """Hold none."""
        self._events.clear()
        self._bytes = 0
