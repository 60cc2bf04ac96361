"""The HTTP API: a path a call, JSON in and out, through the intake that gRPC uses too."""

import asyncio
import logging
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import BadHttpMessage

from cio_sidecar.delivery.queue.entry import QueueError, QueueFull
from cio_sidecar.http_ingest.body import BODY_BYTES, parse, too_large, unpack
from cio_sidecar.http_ingest.errors import RequestError
from cio_sidecar.http_ingest.events import BATCHES, CALLS, events_of, is_for_customer_io
from cio_sidecar.http_ingest.write_keys import WriteKeys
from cio_sidecar.intake import RETRY_SECONDS, Intake, Receipt, Status
from cio_sidecar.mapping.errors import clip
from cio_sidecar.mapping.event import MESSAGE_ID_BYTES, Event
from cio_sidecar.renderer import Refused

BODY_SECONDS: Final = 30
"""How long a caller may take to send a body."""
LOG_SECONDS: Final = 60
"""How far apart log lines about refused events are at the least."""

EXCLUDED: Final = "excluded"

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Any]


@dataclass(slots=True)
class DoorCounters:
    """What came through the door since the start."""

    events: dict[str, int] = field(
        default_factory=lambda: dict.fromkeys((*(each.value for each in Status), EXCLUDED), 0)
    )
    """Events by what became of them; excluded are those that ``integrations`` keep from
    Customer.io."""
    requests: Counter[int] = field(default_factory=Counter)
    """Requests by the status of the answer."""


class Door:
    """Serves POST /v1/identify, track, page, screen, group, alias, batch and import."""

    def __init__(
        self,
        intake: Intake,
        *,
        write_keys: Iterable[str],
        clock: Callable[[], float],
        is_stopping: Callable[[], bool],
    ) -> None:
        """``clock`` gives seconds that only ever grow."""
        self.counters = DoorCounters()
        self._intake = intake
        self._keys = WriteKeys(write_keys)
        self._clock = clock
        self._is_stopping = is_stopping
        self._refused: Counter[str] = Counter()
        self._logged_at = -float(LOG_SECONDS)

    def application(self) -> web.Application:
        """The application to serve. Bodies must come as they were sent: not unpacked."""
        app = web.Application(client_max_size=BODY_BYTES, middlewares=[self._middleware()])
        app.add_routes([web.post(f"/v1/{call}", self._handler(call)) for call in CALLS])
        return app

    def _middleware(self) -> Any:
        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            """Every answer is JSON, and is counted."""
            try:
                response: web.StreamResponse = await handler(request)
            except RequestError as error:
                response = _answer(error)
            except web.HTTPRequestEntityTooLarge:
                response = _answer(too_large())
            except web.HTTPException as error:
                response = _answer(_by_routing(error))
            except Exception as error:
                response = _answer(_unforeseen(error))
            self.counters.requests[response.status] += 1
            return response

        return answer

    def _handler(self, call: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            body = await self._body(request)
            return await self._accept(call, events_of(call, body))

        return handle

    async def _body(self, request: web.Request) -> dict[str, Any]:
        """The body of a request that may be taken. Raises RequestError."""
        if self._is_stopping():
            raise _unavailable("the sidecar is shutting down")
        allowed = self._keys.allow_header(request.headers.get("Authorization"))
        try:
            async with asyncio.timeout(BODY_SECONDS):
                data = await request.read()
        except TimeoutError:
            what = f"the body did not come within {BODY_SECONDS} seconds: try again"
            raise RequestError(408, "TIMEOUT", what) from None
        except (OSError, BadHttpMessage):
            raise RequestError(400, "INVALID_REQUEST", "the body is cut short") from None
        body = parse(unpack(data, request.headers.get("Content-Encoding", "")))
        if not allowed:
            self._keys.allow_body(body)
        return body

    async def _accept(self, call: str, events: list[Event | Refused]) -> web.Response:
        taken = [
            (index, event)
            for index, event in enumerate(events)
            if isinstance(event, Refused) or is_for_customer_io(event)
        ]
        try:
            receipts = await self._intake.accept([event for _, event in taken])
        except QueueFull as error:
            retry = {"Retry-After": str(RETRY_SECONDS)}
            raise RequestError(429, "QUEUE_FULL", str(error), headers=retry) from None
        except QueueError as error:
            raise _unavailable(str(error)) from None
        self._count(receipts, excluded=len(events) - len(taken))
        refused = [
            (index, receipt)
            for (index, _), receipt in zip(taken, receipts, strict=True)
            if receipt.status is Status.REFUSED
        ]
        if call not in BATCHES and refused:
            raise _all_refused(refused[0][1], "the event")
        if refused and len(refused) == len(events):
            raise _all_refused(refused[0][1], "every event of the batch, the first")
        answer: dict[str, Any] = {"success": True}
        if refused:
            answer["refused"] = [_refusal(index, receipt) for index, receipt in refused]
        return web.json_response(answer)

    def _count(self, receipts: Sequence[Receipt], *, excluded: int) -> None:
        counts = self.counters.events
        counts[EXCLUDED] += excluded
        for receipt in receipts:
            counts[receipt.status.value] += 1
            if receipt.status is Status.REFUSED:
                self._refused.update({violation.reason for violation in receipt.violations})
        now = self._clock()
        if self._refused and now - self._logged_at >= LOG_SECONDS:
            # SDKs don't show the answer of a batch that was taken.
            reasons = ", ".join(f"{reason} {count}" for reason, count in self._refused.items())
            log.warning("events that came over HTTP were refused, by reason: %s", reasons)
            self._refused.clear()
            self._logged_at = now


def _refusal(index: int, receipt: Receipt) -> dict[str, Any]:
    return {
        "index": index,
        "messageId": receipt.message_id[:MESSAGE_ID_BYTES],
        "violations": [violation._asdict() for violation in clip(receipt.violations)],
    }


def _all_refused(receipt: Receipt, which: str) -> RequestError:
    first = clip(receipt.violations)[0]
    at = f"{first.field}: " if first.field else ""
    what = f"{which} is refused: {at}{first.description}"
    return RequestError(400, "EVENT_REFUSED", what, violations=receipt.violations)


def _unavailable(why: str) -> RequestError:
    retry = {"Retry-After": str(RETRY_SECONDS)}
    return RequestError(503, "UNAVAILABLE", f"{why}; nothing was accepted", headers=retry)


def _by_routing(error: web.HTTPException) -> RequestError:
    paths = f"POST /v1/{', /v1/'.join(CALLS)}"
    if error.status == 405:
        return RequestError(
            405, "METHOD_NOT_ALLOWED", f"expected {paths}", headers={"Allow": "POST"}
        )
    return RequestError(error.status, "NOT_FOUND", f"there is no such path; there are {paths}")


def _unforeseen(error: Exception) -> RequestError:
    """The log tells where; it holds no data."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {place.name}, line {place.lineno}"
    log.error("a request over HTTP failed: %s; please report it", where)
    return RequestError(500, "INTERNAL", f"the sidecar failed ({where}): please report it")


def _answer(error: RequestError) -> web.Response:
    return web.json_response(error.body, status=error.status, headers=error.headers)
