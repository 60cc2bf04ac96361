"""The HTTP API: a path a call, JSON in and out, through the intake that gRPC uses too."""

import asyncio
import logging
import re
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from cio_sidecar.event_queue.errors import QueueError, QueueFull
from cio_sidecar.http_ingest.batch_splitter import Steps
from cio_sidecar.http_ingest.body import (
    AT_ONCE_BYTES,
    BODY_BYTES,
    KEYLESS_BODY_BYTES,
    parse,
    read_batch,
    too_large,
    too_large_event,
    unpack,
)
from cio_sidecar.http_ingest.browsers import Browsers
from cio_sidecar.http_ingest.errors import RequestError, unavailable
from cio_sidecar.http_ingest.events import (
    BATCHES,
    CALLS,
    call_of,
    event_of,
    events_of,
    is_for_customer_io,
)
from cio_sidecar.http_ingest.memory_budget import Budget
from cio_sidecar.http_ingest.write_keys import WriteKeys
from cio_sidecar.intake import RETRY_SECONDS, Intake, Receipt, Status
from cio_sidecar.mapping.errors import Violation, clip
from cio_sidecar.mapping.event import MESSAGE_ID_BYTES, Event
from cio_sidecar.renderer import Rejected

BODY_SECONDS: Final = 30
"""How long a caller may take to send a body."""
LOG_SECONDS: Final = 60
"""How far apart log lines about rejected events are at least."""
BODIES_BYTES: Final = 64 * 1024 * 1024
"""Maximum size of all bodies that are held at the same time, as sent and as unpacked."""
KEYLESS_BODIES_BYTES: Final = 16 * 1024 * 1024
"""The same for those whose write key has not been read yet."""
ANSWER_CHARACTERS: Final = 256 * 1024
"""About so long an answer explains rejected events; of later ones it has the first reason alone."""

EXCLUDED: Final = "excluded"

_SLICE_SECONDS: Final = 0.01
_LONG_BYTES: Final = 256 * 1024
_VIOLATIONS_BYTES: Final = 2048
"""Maximum size of the violations of one event in the answer to a batch."""

log = logging.getLogger(__name__)

_T = TypeVar("_T")


@dataclass(slots=True)
class HttpIngestCounters:
    """What came over HTTP since the start."""

    events: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((*(each.value for each in Status), EXCLUDED), 0)
    )
    """Events by what became of them; excluded are those that ``integrations`` keep from
    Customer.io."""
    requests: Counter[int] = field(default_factory=Counter)
    """Requests by the status of the answer."""


class HttpIngest:
    """Serves POST /v1/identify, track, page, screen, group, alias, batch and import."""

    def __init__(
        self,
        intake: Intake,
        *,
        write_keys: Iterable[str],
        browsers: Browsers,
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
    ) -> None:
        """``clock`` gives seconds that only ever grow."""
        self.counters = HttpIngestCounters()
        self._intake = intake
        self._keys = WriteKeys(write_keys)
        self._browsers = browsers
        self._clock = clock
        self._is_stopping = is_stopping
        self._bodies = Budget(BODIES_BYTES)
        self._keyless_bodies = Budget(KEYLESS_BODIES_BYTES)
        self._rejected_events: Counter[str] = Counter()
        self._logged_at = -float(LOG_SECONDS)
        self._rejected_requests = 0
        self._rejected_request_logged_at = -float(LOG_SECONDS)

    def application(self) -> web.Application:
        """The application to serve. Bodies must come as they were sent: not unpacked."""

        # Not as routes: a router knows one spelling of a path.
        @web.middleware
        async def answer(request: web.Request, handler: Any) -> web.Response:  # noqa: ARG001
            return await self._answer(request)

        return web.Application(middlewares=[answer])

    async def _answer(self, request: web.Request) -> web.Response:
        """Every answer is JSON, and is counted."""
        try:
            response = await self._respond(request)
        except RequestError as error:
            response = _error(error)
        except Exception as error:
            response = _error(_unforeseen(error))
        response.headers.update(self._browsers.answer_headers(request.headers.get("Origin")))
        self.counters.requests[response.status] += 1
        return response

    async def _respond(self, request: web.Request) -> web.Response:
        try:
            self._browsers.require_allowed(
                *(request.headers.getall(name, ()) for name in ("Origin", "Sec-Fetch-Site", "Host"))
            )
        except RequestError:
            self._note_rejected("from a web page (CIO_HTTP_INGEST_ORIGINS)")
            raise
        call = call_of(request.rel_url.raw_path)
        if call is None:
            self._note_rejected(f"to the unknown path {_shown(request.rel_url.raw_path)}")
            what = f"there is no such path; there are {_PATHS}"
            raise RequestError(404, "NOT_FOUND", what)
        if request.method != "POST":
            preflight = self._browsers.preflight_headers(request.headers.get("Origin"))
            if request.method == "OPTIONS" and preflight:
                return web.json_response({"success": True}, headers=preflight)
            allow = {"Allow": "POST"}
            raise RequestError(405, "METHOD_NOT_ALLOWED", f"expected {_PATHS}", headers=allow)
        if self._is_stopping():
            raise unavailable("the sidecar is shutting down")
        has_key = self._keys.allow_headers(request.headers.getall("Authorization", ()))
        budget = self._bodies if has_key else self._keyless_bodies
        with budget.hold() as take:
            data = await _unpacked(request, BODY_BYTES if has_key else KEYLESS_BODY_BYTES, take)
            fields, events, count = await self._read(call, data)
            if not has_key:
                self._keys.allow_body(fields)
            if len(data) >= _LONG_BYTES:
                # To parse and to render it are two turns.
                await asyncio.sleep(0)
            return await self._accept(call, events, count)

    async def _read(
        self, call: str, data: bytes
    ) -> tuple[dict[str, Any], Iterable[Event | Rejected], int]:
        """The object that a body is, its events, and their number. Raises RequestError."""
        limits = self._intake.limits
        if call in BATCHES:
            body = await self._in_slices(read_batch(data, limits))
            return body.fields, events_of(body), body.count
        too_long = len(data) > limits.max_event_bytes
        if too_long and len(data) > AT_ONCE_BYTES:
            return {}, [too_large_event(len(data), limits)], 1
        fields = parse(data)
        event = too_large_event(len(data), limits) if too_long else event_of(call, fields)
        return fields, [event], 1

    async def _in_slices(self, steps: Steps[_T]) -> _T:
        """Do work that yields, and let others have their turn in between."""
        until = self._clock() + _SLICE_SECONDS
        while True:
            try:
                next(steps)
            except StopIteration as end:
                result: _T = end.value
                return result
            if self._clock() >= until:
                await asyncio.sleep(0)
                until = self._clock() + _SLICE_SECONDS

    async def _accept(
        self, call: str, events: Iterable[Event | Rejected], count: int
    ) -> web.Response:
        taken: list[int] = []

        def for_customer_io() -> Iterator[Event | Rejected | None]:
            for index, event in enumerate(events):
                if isinstance(event, Rejected) or is_for_customer_io(event):
                    taken.append(index)
                    yield event
                else:
                    yield None

        try:
            receipts = await self._intake.accept(for_customer_io())
        except QueueFull as error:
            retry = {"Retry-After": str(RETRY_SECONDS)}
            raise RequestError(429, "QUEUE_FULL", str(error), headers=retry) from None
        except QueueError as error:
            raise unavailable(str(error)) from None
        self._count(receipts, excluded=count - len(taken))
        rejected = [
            (index, receipt)
            for index, receipt in zip(taken, receipts, strict=True)
            if receipt.status is Status.REJECTED
        ]
        if call not in BATCHES and rejected:
            raise _all_rejected(rejected[0][1], "the event")
        if rejected and len(rejected) == count:
            raise _all_rejected(rejected[0][1], "every event of the batch, the first")
        answer: dict[str, Any] = {"success": True}
        if rejected:
            answer["rejected"] = _rejections(rejected)
        return web.json_response(answer)

    def _count(self, receipts: Sequence[Receipt], *, excluded: int) -> None:
        counts = self.counters.events
        counts[EXCLUDED] += excluded
        for receipt in receipts:
            counts[receipt.status.value] += 1
            if receipt.status is Status.REJECTED:
                self._rejected_events.update({violation.reason for violation in receipt.violations})
        now = self._clock()
        if self._rejected_events and now - self._logged_at >= LOG_SECONDS:
            # SDKs don't show the answer of a batch that was taken.
            reasons = ", ".join(
                f"{reason} {count}" for reason, count in self._rejected_events.items()
            )
            log.warning("events that came over HTTP were rejected, by reason: %s", reasons)
            self._rejected_events.clear()
            self._logged_at = now

    def _note_rejected(self, which: str) -> None:
        """Log that requests are rejected, at most once a minute: SDKs drop the events in silence.

        ``which`` says what is wrong with the latest.
        """
        self._rejected_requests += 1
        now = self._clock()
        if now - self._rejected_request_logged_at >= LOG_SECONDS:
            more = self._rejected_requests - 1
            others = f", and {more:,} others since the last such line" if more else ""
            self._rejected_requests = 0
            log.warning("HTTP request %s rejected%s; there are %s", which, others, _PATHS)
            self._rejected_request_logged_at = now


_PATHS: Final = f"POST /v1/{', /v1/'.join(CALLS)}"


async def _unpacked(request: web.Request, limit: int, take: Callable[[int], None]) -> bytes:
    """The body of a request. Raises RequestError."""
    if (request.content_length or 0) > limit:
        raise too_large(limit)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for chunk in request.content.iter_any():
                size += len(chunk)
                if size > limit:
                    raise too_large(limit)
                take(len(chunk))
                chunks.append(chunk)
    except TimeoutError:
        what = f"the body did not come within {BODY_SECONDS} seconds: try again"
        raise RequestError(408, "TIMEOUT", what) from None
    except (OSError, BadHttpMessage, web.RequestPayloadError):
        raise RequestError(400, "INVALID_REQUEST", "the body is cut short") from None
    data = b"".join(chunks)
    unpacked = unpack(data, ",".join(request.headers.getall("Content-Encoding", ())), limit)
    if unpacked is not data:
        take(len(unpacked))
    return unpacked


def _shown(path: str) -> str:
    """The beginning of a path, as far as it can hold neither data nor control characters."""
    parts = [part for part in path.split("/")[:8] if part]
    shown = [
        part if re.fullmatch(r"[A-Za-z][\w.-]{0,15}", part, re.ASCII) else "…" for part in parts
    ]
    return "/" + "/".join(shown[:3]) + ("/…" if len(parts) > 3 else "")


def _rejections(rejected: Iterable[tuple[int, Receipt]]) -> list[dict[str, Any]]:
    """What the answer to a batch says of the events that were rejected, by their index."""
    answered: list[dict[str, Any]] = []
    left = ANSWER_CHARACTERS
    for index, receipt in rejected:
        if left > 0:
            violations = clip(receipt.violations, most_bytes=_VIOLATIONS_BYTES)
            message_id = receipt.message_id[:MESSAGE_ID_BYTES]
            left -= len(message_id) + sum([len("".join(violation)) for violation in violations])
        else:
            violations = [Violation("", receipt.violations[0].reason, "")]
            message_id = ""
        answered.append(
            {
                "index": index,
                "messageId": message_id,
                "violations": [violation._asdict() for violation in violations],
            }
        )
    return answered


def _all_rejected(receipt: Receipt, which: str) -> RequestError:
    first = clip(receipt.violations)[0]
    at = f"{first.field}: " if first.field else ""
    what = f"{which} is rejected: {at}{first.description}"
    return RequestError(400, "EVENT_REJECTED", what, violations=receipt.violations)


def _unforeseen(error: Exception) -> RequestError:
    """The log tells where; it holds no data."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {place.name}, line {place.lineno}"
    log.error("a request over HTTP failed: %s; please report it", where)
    return RequestError(500, "INTERNAL", f"the sidecar failed ({where}): please report it")


def _error(error: RequestError) -> web.Response:
    return web.json_response(error.body, status=error.status, headers=error.headers)
