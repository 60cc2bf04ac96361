"""Tells watchers what comes of events; while nobody watches, it costs delivery nothing."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from cio.sidecar.v1 import delivery_pb2

from cio_sidecar.customerio.answers import Outcome
from cio_sidecar.delivery.dispatcher import Dispatcher
from cio_sidecar.delivery.result import Result
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.model import Leased
from cio_sidecar.rpc.masking import hide_words, mask_words, values_of

KEPT_OUTCOMES: Final = 1000
"""How many outcomes are kept for a watcher that is slow; then the oldest go."""
_SEARCHED_BYTES: Final = 8 * 1024
"""Maximum size of operations whose values are looked for in words, as that holds up delivery."""

_OUTCOMES: Final = {
    Outcome.DELIVERED: delivery_pb2.OUTCOME_DELIVERED,
    Outcome.REJECTED: delivery_pb2.OUTCOME_DEAD_LETTERED,
}
"""Any other is tried again."""


class Watcher:
    """Somebody who watches: what has come since they were last told."""

    def __init__(self, *, reveal: bool) -> None:
        self._reveal = reveal
        self._kept: deque[delivery_pb2.EventOutcome] = deque()
        self._dropped = 0
        self._news = asyncio.Event()
        self._stopped = False

    def note(self, event: Leased, result: Result) -> None:
        """Keep an outcome for the next answer."""
        if len(self._kept) >= KEPT_OUTCOMES:
            self._kept.popleft()
            self._dropped += 1
        self._kept.append(_message(event, result, reveal=self._reveal))
        self._news.set()

    def stop(self) -> None:
        """Let next() end."""
        self._stopped = True
        self._news.set()

    async def next(self) -> delivery_pb2.WatchOutcomesResponse:
        """All that has come, as soon as something has. Raises QueueError at shutdown."""
        await self._news.wait()
        self._news.clear()
        if self._stopped and not self._kept:
            raise QueueError("the sidecar is shutting down")
        if self._stopped:
            self._news.set()
        response = delivery_pb2.WatchOutcomesResponse(outcomes=self._kept, dropped=self._dropped)
        self._kept.clear()
        self._dropped = 0
        return response


class Outcomes:
    """All who watch a dispatcher."""

    def __init__(self, dispatcher: Dispatcher) -> None:
        self._dispatcher = dispatcher
        self._watchers: set[Watcher] = set()
        self._stopped = False

    @contextmanager
    def watching(self, *, reveal: bool) -> Iterator[Watcher]:
        """Watch for as long as the context lasts. ``reveal``: reasons are told as they are."""
        watcher = Watcher(reveal=reveal)
        if self._stopped:
            watcher.stop()
        self._watchers.add(watcher)
        self._dispatcher.on_outcome = self._note
        try:
            yield watcher
        finally:
            self._watchers.discard(watcher)
            if not self._watchers:
                self._dispatcher.on_outcome = None

    def stop(self) -> None:
        """End every watch once it has told what it has."""
        self._stopped = True
        for watcher in self._watchers:
            watcher.stop()

    def _note(self, event: Leased, result: Result) -> None:
        for watcher in self._watchers:
            watcher.note(event, result)


def _message(event: Leased, result: Result, *, reveal: bool) -> delivery_pb2.EventOutcome:
    why = result.why
    # Only a rejection has Customer.io's words.
    if why and not reveal and result.outcome is Outcome.REJECTED:
        items = [operation.item for operation in event.operations]
        if sum(map(len, items)) > _SEARCHED_BYTES:
            why = hide_words(why)
        else:
            why = mask_words(why, values_of(*items) - {event.message_id})
    return delivery_pb2.EventOutcome(
        message_id=event.message_id,
        outcome=_OUTCOMES.get(result.outcome, delivery_pb2.OUTCOME_RETRIED),
        status=result.status,
        reason=why,
        attempts=event.attempts,
    )
