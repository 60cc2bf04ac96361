"""DeliveryService: what is being delivered, the dead letters, and an operator's hand on both."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, Final, TypeVar

import grpc
from cio.sidecar.v1 import delivery_pb2
from google.protobuf.message import Message

from cio_sidecar.delivery.dispatcher import Dispatcher, OnHold
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.event_queue import dead_letters
from cio_sidecar.event_queue.dead_letters import DeadLetter, Filter, Slice
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.renderer import Renderer
from cio_sidecar.replay import replay
from cio_sidecar.rpc import internal_errors
from cio_sidecar.rpc.dead_letters import (
    chosen,
    moment,
    record,
    records,
    rejected,
    summaries,
    to_filter,
)
from cio_sidecar.rpc.decode import InvalidRequest, decode
from cio_sidecar.rpc.error_status import (
    abort_invalid,
    abort_not_found,
    abort_queue,
    violation_messages,
)
from cio_sidecar.rpc.outcome_watch import Outcomes

Context = grpc.aio.ServicerContext[Any, Any]
_Request = TypeVar("_Request", bound=Message)

SERVICE: Final = "cio.sidecar.v1.DeliveryService"

_HOLD_REASONS: Final = {
    HoldReason.CREDENTIALS: delivery_pb2.HOLD_REASON_CREDENTIALS,
    HoldReason.WRONG_ADDRESS: delivery_pb2.HOLD_REASON_WRONG_ADDRESS,
    HoldReason.CIRCUIT_BREAKER: delivery_pb2.HOLD_REASON_CIRCUIT_BREAKER,
    HoldReason.RETRY_AFTER: delivery_pb2.HOLD_REASON_RETRY_AFTER,
    HoldReason.OUTAGE: delivery_pb2.HOLD_REASON_OUTAGE,
}

PAGE_LETTERS: Final = 100
"""How many dead letters a page has where nobody says."""
MOST_PAGE_LETTERS: Final = 1000


class DeliveryService:
    """The service's methods. Requests come as bytes, as in IngestService."""

    def __init__(
        self,
        queue: SqliteQueue,
        dispatcher: Dispatcher,
        renderer: Callable[[], Renderer],
        *,
        clock: Callable[[], float],
    ) -> None:
        """``renderer`` gives the current one, ``clock`` Unix seconds."""
        self._clock = clock
        self._queue = queue
        self._dispatcher = dispatcher
        self._renderer = renderer
        self._outcomes = Outcomes(dispatcher)
        self._stopped = False

    def handler(self) -> grpc.GenericRpcHandler:
        """The handler to add to a server."""
        pb = delivery_pb2
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "GetStats": _unary(pb.GetStatsRequest, self.get_stats),
                "ListDeadLetters": _unary(pb.ListDeadLettersRequest, self.list_dead_letters),
                "GetDeadLetter": _unary(pb.GetDeadLetterRequest, self.get_dead_letter),
                "ReplayDeadLetters": _stream(pb.ReplayDeadLettersRequest, self.replay),
                "PurgeDeadLetters": _unary(pb.PurgeDeadLettersRequest, self.purge),
                "ExportDeadLetters": _stream(pb.ExportDeadLettersRequest, self.export),
                "Pause": _unary(pb.PauseRequest, self.pause),
                "Resume": _unary(pb.ResumeRequest, self.resume),
                "WatchOutcomes": _stream(pb.WatchOutcomesRequest, self.watch_outcomes),
            },
        )

    def stop(self) -> None:
        """End what would go on for long: each such call with UNAVAILABLE."""
        self._stopped = True
        self._outcomes.stop()

    async def get_stats(
        self, _: delivery_pb2.GetStatsRequest, __: Context
    ) -> delivery_pb2.GetStatsResponse:
        """Count what waits, what is in flight, and what happened since the start."""
        stats = await self._queue.stats()
        counters = self._dispatcher.counters
        return delivery_pb2.GetStatsResponse(
            waiting_events=stats.waiting,
            waiting_bytes=stats.waiting_bytes,
            oldest_accepted_at=moment(stats.oldest_accepted_at),
            dead_letters=stats.dead_letters,
            dead_letter_bytes=stats.dead_letter_bytes,
            requests_in_flight=self._dispatcher.in_flight,
            delivered=counters.delivered,
            retried=counters.retried,
            dead_lettered=counters.dead_letters,
            pause=self._pause(),
            hold=self._hold(self._dispatcher.hold),
            accepts_rejections=self._dispatcher.accepts_rejections,
            max_waiting_events=self._queue.limits.max_events,
            max_waiting_bytes=self._queue.limits.max_bytes,
            full_because=self._queue.not_accepting_because or self._queue.full_because or "",
        )

    async def list_dead_letters(
        self, request: delivery_pb2.ListDeadLettersRequest, _: Context
    ) -> delivery_pb2.ListDeadLettersResponse:
        """List a page of dead letters."""
        which = to_filter(request.filter)
        size = _page_size(request.page_size)
        after: int | None = _page_start(request.page_token)
        upto = await self._queue.run(dead_letters.last, writes=False)
        response = delivery_pb2.ListDeadLettersResponse()
        while after is not None and len(response.dead_letters) < size:
            found = await self._read(which, after, upto, size - len(response.dead_letters))
            after = found.after
            shown = await asyncio.to_thread(summaries, found.letters, reveal=request.reveal)
            response.dead_letters.extend(shown)
        if after is not None and after < upto:
            response.next_page_token = str(after)
        return response

    async def get_dead_letter(
        self, request: delivery_pb2.GetDeadLetterRequest, context: Context
    ) -> delivery_pb2.GetDeadLetterResponse:
        """Show the last dead letter of a message_id."""
        if not request.message_id:
            what = "give the message_id of an event"
            raise InvalidRequest([Violation("message_id", "REQUIRED", what)])
        letter: DeadLetter | None = None
        async for letters in self._slices(Filter(message_ids=(request.message_id,))):
            letter = letters[-1] if letters else letter
        if letter is None:
            what = f"no dead letter has the message_id {request.message_id[:80]!r}"
            await abort_not_found(context, "NO_SUCH_DEAD_LETTER", what)
        shown = await asyncio.to_thread(record, letter, reveal=request.reveal)
        return delivery_pb2.GetDeadLetterResponse(record=shown)

    async def replay(
        self, request: delivery_pb2.ReplayDeadLettersRequest, _: Context
    ) -> AsyncGenerator[delivery_pb2.ReplayDeadLettersResponse, None]:
        """Map dead letters again, and put them back into the queue."""
        async for done in replay(self._queue, self._renderer, chosen(request)):
            response = delivery_pb2.ReplayDeadLettersResponse(
                replayed=done.replayed,
                dropped=done.dropped,
                rejected=done.rejected,
                not_found=done.not_found,
            )
            for letter, violations in done.rejections:
                message_id, shown = await asyncio.to_thread(
                    rejected, letter, violations, reveal=request.reveal
                )
                response.rejections.add(message_id=message_id, violations=violation_messages(shown))
            yield response
            self._go_on()

    async def purge(
        self, request: delivery_pb2.PurgeDeadLettersRequest, _: Context
    ) -> delivery_pb2.PurgeDeadLettersResponse:
        """Remove dead letters."""
        which = chosen(request)
        upto = await self._queue.run(dead_letters.last, writes=False)
        purged = 0
        after: int | None = 0
        while after is not None:
            self._go_on()
            count, after = await self._remove(which, after, upto)
            purged += count
        return delivery_pb2.PurgeDeadLettersResponse(purged=purged)

    async def export(
        self, request: delivery_pb2.ExportDeadLettersRequest, _: Context
    ) -> AsyncGenerator[delivery_pb2.ExportDeadLettersResponse, None]:
        """Give dead letters whole."""
        async for letters in self._slices(to_filter(request.filter)):
            for shown in await asyncio.to_thread(records, letters, reveal=request.reveal):
                yield delivery_pb2.ExportDeadLettersResponse(record=shown)

    async def pause(self, _: delivery_pb2.PauseRequest, __: Context) -> delivery_pb2.PauseResponse:
        """Pause delivery until resume() or a restart."""
        self._dispatcher.pause()
        return delivery_pb2.PauseResponse()

    async def resume(
        self, request: delivery_pb2.ResumeRequest, _: Context
    ) -> delivery_pb2.ResumeResponse:
        """End a pause and any hold."""
        pause = self._pause()
        hold = self._dispatcher.resume(accept_rejections=request.accept_rejections)
        return delivery_pb2.ResumeResponse(pause=pause, hold=self._hold(hold))

    async def watch_outcomes(
        self, request: delivery_pb2.WatchOutcomesRequest, context: Context
    ) -> AsyncGenerator[delivery_pb2.WatchOutcomesResponse, None]:
        """Tell what comes of events, until the caller goes away."""
        with self._outcomes.watching(reveal=request.reveal) as watcher:
            await context.send_initial_metadata(())
            while True:
                yield await watcher.next()

    def _pause(self) -> delivery_pb2.DeliveryPause | None:
        seconds = self._dispatcher.paused_seconds
        if seconds is None:
            return None
        return delivery_pb2.DeliveryPause(since=moment(int(self._clock() - seconds)))

    def _hold(self, hold: OnHold | None) -> delivery_pb2.DeliveryHold | None:
        if hold is None:
            return None
        message = delivery_pb2.DeliveryHold(
            reason=_HOLD_REASONS[hold.reason],
            description=hold.why,
            since=moment(int(self._clock() - hold.seconds)),
            failures=hold.failures,
        )
        if hold.next_attempt_seconds is not None:
            message.next_attempt_in.FromMilliseconds(round(hold.next_attempt_seconds * 1000))
        return message

    async def _slices(self, which: Filter) -> AsyncIterator[list[DeadLetter]]:
        """What a filter finds of the dead letters that there are now."""
        upto = await self._queue.run(dead_letters.last, writes=False)
        after: int | None = 0
        while after is not None:
            found = await self._read(which, after, upto, MOST_PAGE_LETTERS)
            after = found.after
            yield found.letters
            self._go_on()

    async def _read(self, which: Filter, after: int, upto: int, most: int) -> Slice:
        return await self._queue.run(
            lambda db: dead_letters.read(db, which, after=after, upto=upto, most=most),
            writes=False,
        )

    async def _remove(self, which: Filter, after: int, upto: int) -> tuple[int, int | None]:
        return await self._queue.run(
            lambda db: dead_letters.remove(db, which, after=after, upto=upto), writes=True
        )

    def _go_on(self) -> None:
        """Raises QueueError at shutdown."""
        if self._stopped:
            raise QueueError("the sidecar is shutting down")


def _page_size(asked: int) -> int:
    if asked > MOST_PAGE_LETTERS:
        what = f"{asked:,} is too many, {MOST_PAGE_LETTERS:,} is the most: ask for several pages"
        raise InvalidRequest([Violation("page_size", "INVALID_VALUE", what)])
    return asked or PAGE_LETTERS


def _page_start(token: str) -> int:
    if not token:
        return 0
    if not (token.isascii() and token.isdigit() and len(token) < 19):
        what = "not a next_page_token of this service: give that of the page before, or none"
        raise InvalidRequest([Violation("page_token", "INVALID_VALUE", what)])
    return int(token)


def _unary(
    message_class: type[_Request], method: Callable[[_Request, Context], Awaitable[Message]]
) -> "grpc.RpcMethodHandler[Any, Any]":
    async def handle(data: bytes, context: Context) -> Message:
        try:
            return await method(decode(message_class, data), context)
        except InvalidRequest as error:
            await abort_invalid(context, "INVALID_REQUEST", error.violations)
        except QueueError as error:
            await abort_queue(context, error)

    return grpc.unary_unary_rpc_method_handler(
        internal_errors.unary(handle), response_serializer=_serialize
    )


def _stream(
    message_class: type[_Request],
    method: "Callable[[_Request, Context], AsyncGenerator[Message, None]]",
) -> "grpc.RpcMethodHandler[Any, Any]":
    async def handle(data: bytes, context: Context) -> AsyncIterator[Message]:
        try:
            async with aclosing(method(decode(message_class, data), context)) as responses:
                async for response in responses:
                    yield response
        except InvalidRequest as error:
            await abort_invalid(context, "INVALID_REQUEST", error.violations)
        except QueueError as error:
            await abort_queue(context, error)

    return grpc.unary_stream_rpc_method_handler(
        internal_errors.stream(handle), response_serializer=_serialize
    )


def _serialize(message: Message) -> bytes:
    return message.SerializeToString()
