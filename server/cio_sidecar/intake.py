"""Takes events in: fills in what is missing, renders, stores, and says what became of each."""

import asyncio
import logging
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from time import monotonic
from typing import Final

from cio_sidecar.event_queue.model import Entry
from cio_sidecar.event_queue.operation_codec import pack
from cio_sidecar.event_queue.put_order import PutOrder
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from cio_sidecar.mapping.errors import (
    DESCRIPTION_CHARACTERS,
    FIELD_CHARACTERS,
    MOST_VIOLATIONS,
    FieldWarning,
    Violation,
    clip,
    shorten,
)
from cio_sidecar.mapping.event import MESSAGE_ID_BYTES, Event
from cio_sidecar.renderer import Rejected, Renderer

RETRY_SECONDS: Final = 1
"""After how many seconds a caller who was rejected may try again."""

_SLICE_SECONDS: Final = 0.02
"""How long events are mapped before other work has its turn."""
_PAUSE_SECONDS: Final = 0.001
_DETAILS_CHARACTERS: Final = 256 * 1024
"""How much a call is told of its rejected events, and of warnings."""
_SHORT_CHARACTERS: Final = 40
"""How much of a field's name where no more than that is told."""

log = logging.getLogger(__name__)


class Status(Enum):
    """What became of an event."""

    ACCEPTED = "accepted"
    """It is on disk."""
    DUPLICATE = "duplicate"
    """Its messageId was accepted before, within the dedup window."""
    REJECTED = "rejected"


_STATUSES: Final = tuple(Status)


@dataclass(frozen=True, slots=True)
class CallLimits:
    """Maximum size of what one call brings."""

    max_events: int = 10_000
    """Maximum number of events in a call (``CIO_CALL_MAX_EVENTS``)."""
    max_event_bytes: int = 1_000_000
    """Maximum size of one event in bytes, as received and as stored (``CIO_EVENT_MAX_BYTES``)."""


@dataclass(slots=True)
class Receipt:
    """What became of one event."""

    message_id: str
    status: Status
    filled_in: bool = False
    """Whether the sidecar made the message_id."""
    violations: Sequence[Violation] = ()
    warnings: Sequence[FieldWarning] = ()


@dataclass(slots=True)
class IntakeCounters:
    """How many events came in since the start, by what became of them."""

    by_status: dict[Status, int] = field(default_factory=lambda: dict.fromkeys(Status, 0))
    warned: int = 0
    dropped: int = 0
    """Accepted, and not sent, because a table says so."""


@dataclass(slots=True)
class Rendered:
    """The events of a call: receipts that hold once the entries are stored."""

    receipts: list[Receipt] = field(default_factory=list)
    stored: list[Receipt] = field(default_factory=list)
    """Those of the entries, in their order."""
    entries: list[Entry] = field(default_factory=list)


class Intake:
    """Accepts events, whichever API they come through."""

    def __init__(
        self,
        renderer: Renderer,
        queue: SqliteQueue,
        *,
        clock: Callable[[], float],
        new_message_id: Callable[[], str],
        limits: CallLimits = CallLimits(),
    ) -> None:
        """``clock`` gives Unix seconds; ``new_message_id`` a fresh ULID."""
        self.limits = limits
        self.renderer = renderer
        """Maps every event from now on; may be replaced between events."""
        self.counters = IntakeCounters()
        self._queue = queue
        self._clock = clock
        self.new_message_id = new_message_id

    @property
    def is_empty(self) -> bool:
        """Whether no event waits for its delivery."""
        return self._queue.waiting == 0

    async def accept(self, events: Iterable[Event | Rejected | None]) -> list[Receipt]:
        """Accept the good events and name the bad; returns when the good ones are on disk.

        An event that was rejected while it was decoded keeps its place. The events belong to the
        intake: it fills in ``messageId`` and ``receivedAt``. Best each is made when it is asked
        for: then it is mapped, and gone, while the processor's cache has it. Raises QueueError;
        then none was accepted.
        """
        return await self.store(await self.render(events))

    async def render(self, events: Iterable[Event | Rejected | None]) -> Rendered:
        """The first half of accept(): map the events, and store nothing yet.

        Many or large events are mapped in slices, so that other work never waits for long. None
        stands for an event that its maker leaves out, which took time too.
        """
        received_at = iso_time(self._clock())
        # The events of one call are all mapped by one version of the tables.
        render = self.renderer.render
        most_bytes = self.limits.max_event_bytes
        rendering = Rendered()
        receipts, stored, entries = rendering.receipts, rendering.stored, rendering.entries
        details = _Details()
        until = monotonic() + _SLICE_SECONDS
        for event in events:
            if monotonic() > until:
                # Long enough for several turns of the event loop: to answer a caller takes some.
                await asyncio.sleep(_PAUSE_SECONDS)
                until = monotonic() + _SLICE_SECONDS
            if event is None:
                continue
            if isinstance(event, Rejected):
                receipts.append(_rejection(event, details))
                continue
            filled_in = complete(event, received_at, self.new_message_id)
            try:
                rendered = render(event)
            except Exception as error:
                rendered = _failed(event, error)
            if isinstance(rendered, Rejected):
                if filled_in:
                    rendered = Rejected("", rendered.violations)
                receipts.append(_rejection(rendered, details))
                continue
            size = len(rendered.event)
            if size > most_bytes:
                rejected = Rejected(
                    "" if filled_in else rendered.message_id, [too_large(size, self.limits)]
                )
                receipts.append(_rejection(rejected, details))
                continue
            warnings = details.warnings(rendered.warnings) if rendered.warnings else ()
            receipt = Receipt(rendered.message_id, Status.ACCEPTED, filled_in, warnings=warnings)
            receipts.append(receipt)
            operations = rendered.operations
            if not operations:
                self.counters.dropped += 1
                continue
            stored.append(receipt)
            entries.append(
                Entry(
                    rendered.message_id,
                    not filled_in,
                    operations[0].lane,
                    rendered.event,
                    pack(operations),
                    operations,
                )
            )
        return rendering

    async def store(self, rendered: Rendered, line: PutOrder | None = None) -> list[Receipt]:
        """The second half of accept(): returns when the events are on disk.

        ``line`` is that of the puts among which its place is kept. Raises QueueError; then nothing
        was stored, and it may be tried again.
        """
        if rendered.entries:

            def count(fresh: list[bool]) -> None:
                self._settle(rendered, fresh)

            count(await self._queue.put(rendered.entries, line, abandoned=count))
        else:
            self._settle(rendered, ())
        return rendered.receipts

    def _settle(self, rendered: Rendered, fresh: Sequence[bool]) -> None:
        """Note in the receipts which of the stored events are new, and count all."""
        for receipt, is_new in zip(rendered.stored, fresh, strict=True):
            if not is_new:
                receipt.status = Status.DUPLICATE
        statuses = [receipt.status for receipt in rendered.receipts]
        for status in _STATUSES:
            if count := statuses.count(status):
                self.counters.by_status[status] += count
        self.counters.warned += sum([bool(receipt.warnings) for receipt in rendered.receipts])


def complete(event: Event, received_at: str, new_message_id: Callable[[], str]) -> bool:
    """Fill in ``receivedAt``, and ``messageId`` where there is none; says whether it did that."""
    event.setdefault("receivedAt", received_at)
    message_id = event.get("messageId")
    if message_id is None or (message_id.__class__ is str and not message_id.strip()):
        event["messageId"] = new_message_id()
        return True
    return False


def iso_time(unix_seconds: float) -> str:
    """A moment as ISO 8601 in UTC, with milliseconds."""
    # By way of microseconds: 1.001 s are 1,000.99… ms for a double.
    milliseconds = round(unix_seconds * 1_000_000) // 1000
    return f"{_iso_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=1)
def _iso_second(unix_seconds: int) -> str:
    return datetime.fromtimestamp(unix_seconds, UTC).isoformat()[:19]


def _failed(event: Event, error: Exception) -> Rejected:
    """A rejection for a failure that nobody has foreseen. The log tells where; it holds no data."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {place.name}, line {place.lineno}"
    log.error("rendering failed: %s; the event is rejected, please report it", where)
    message_id = event.get("messageId")
    what = f"the sidecar failed on this event ({where}): please report it"
    return Rejected(
        message_id if isinstance(message_id, str) else "", [Violation("", "INTERNAL", what)]
    )


def _rejection(rejected: Rejected, details: "_Details") -> Receipt:
    violations = details.violations(rejected.violations)
    # An id that is rejected for its length must not make the answer as large as the request.
    message_id = rejected.message_id[:MESSAGE_ID_BYTES]
    return Receipt(message_id, Status.REJECTED, violations=violations)


def too_large(size: int, limits: CallLimits) -> Violation:
    """The violation of an event that is larger than an event may be."""
    what = (
        f"the event has {size:,} bytes, the limit is {limits.max_event_bytes:,} "
        "(CIO_EVENT_MAX_BYTES): send less with it"
    )
    return Violation("", "TOO_LARGE", what)


class _Details:
    """Bounds the violations and warnings of a call, so that its answer stays small.

    Beyond the bound a rejected event has one violation without a description, and an accepted one
    a single warning that says that there are some.
    """

    def __init__(self) -> None:
        self._left = _DETAILS_CHARACTERS

    def violations(self, violations: Sequence[Violation]) -> list[Violation]:
        """Those that are told."""
        if self._left <= 0:
            first = violations[0]
            return [Violation(shorten(first.field, _SHORT_CHARACTERS), first.reason, "")]
        clipped = clip(violations)
        self._left -= sum([len(each.field) + len(each.description) for each in clipped])
        return clipped

    def warnings(self, warnings: Sequence[FieldWarning]) -> Sequence[FieldWarning]:
        """Those that are told."""
        if self._left <= 0:
            return [FieldWarning("", "has warnings")]
        told = [
            FieldWarning(
                shorten(warning.field, FIELD_CHARACTERS),
                shorten(warning.description, DESCRIPTION_CHARACTERS),
            )
            for warning in warnings[:MOST_VIOLATIONS]
        ]
        self._left -= sum([len(each.field) + len(each.description) for each in told])
        return told
