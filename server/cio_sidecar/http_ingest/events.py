"""From the JSON of a call to events in their canonical form. PURE."""

import json
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Any, Final

import orjson

from cio_sidecar.http_ingest.body import Body, wrong_type
from cio_sidecar.http_ingest.errors import RequestError
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.event import EVENT_TYPES, Event, check
from cio_sidecar.mapping.running.transforms import json_type
from cio_sidecar.renderer import Rejected

BATCHES: Final = ("batch", "import")
CALLS: Final = (*EVENT_TYPES, *BATCHES)
"""What follows /v1/ in a path."""
REPEATED_BYTES: Final = 16 * 1024 * 1024
"""Maximum size of a batch's context and integrations, times the number of its events."""
MOST_INTEGRATIONS: Final = 1_000
"""Maximum number of keys in ``integrations``."""

_CALL_OF_PATH: Final = {f"v1/{call}": call for call in CALLS} | {
    # Newer SDKs abbreviate a call to its first letter.
    f"v1/{call[0]}": call
    for call in (*EVENT_TYPES, "batch")
}
# The write key is a secret, and the time of receipt is the sidecar's to say.
_NOT_OF_AN_EVENT: Final = ("writeKey", "receivedAt")
_OF_A_BATCH: Final = ("context", "integrations")
_CUSTOMER_IO: Final = frozenset({"customerio", "customerioactions"})
_NAME_CHARACTERS: Final = 64
"""No name of Customer.io is longer."""


def call_of(path: str) -> str | None:
    """The call that a path names, or None.

    SDKs differ: ``/v1/import/`` is Segment's for Java, ``//v1/batch`` that for Go with a slash
    after the host. Slashes at the end and repeated slashes don't count.
    """
    return _CALL_OF_PATH.get("/".join([part for part in path.split("/") if part]))


def event_of(call: str, fields: dict[str, Any]) -> Event | Rejected:
    """The event of a call other than a batch."""
    return _event({**fields, "type": call}, {})


def events_of(body: Body) -> Iterator[Event | Rejected]:
    """The events of a batch, in their order, each made when it is asked for; one that is none is
    rejected in its place.

    Raises RequestError where the request itself can't be used, at once or at an event.
    """
    shared = {name: body.fields[name] for name in _OF_A_BATCH if body.fields.get(name) is not None}
    for name, value in shared.items():
        if value.__class__ is not dict:
            raise wrong_type(name, f"expected an object, got {json_type(value)}")
    if shared:
        _require_small(shared, body.count)
    return _events(body.events, shared)


def is_for_customer_io(event: Event) -> bool:
    """Whether an event's ``integrations`` leave Customer.io in.

    Names are compared by their letters: Customer.io, Customer IO, Customer.io (Actions). The name
    goes before ``All``.
    """
    choices = event.get("integrations")
    if choices.__class__ is not dict:
        return True
    named = [
        choice
        for name, choice in choices.items()
        if len(name) <= _NAME_CHARACTERS and _is_customer_io(name)
    ]
    if named:
        return any(choice is not False for choice in named)
    return choices.get("All", choices.get("all")) is not False


@lru_cache(maxsize=1024)
def _is_customer_io(name: str) -> bool:
    return re.sub("[^a-z]", "", name.lower()) in _CUSTOMER_IO


def _events(items: Iterable[Any], shared: dict[str, dict[str, Any]]) -> Iterator[Event | Rejected]:
    for item in items:
        yield _event(item, shared)


def _event(item: Any, shared: dict[str, dict[str, Any]]) -> Event | Rejected:
    if item.__class__ is not dict:
        return item if isinstance(item, Rejected) else Rejected("", check(item))
    event: Event = item
    for name in _NOT_OF_AN_EVENT:
        event.pop(name, None)
    for name, value in shared.items():
        own = event.get(name)
        if own is None:
            event[name] = value
        elif own.__class__ is dict:
            event[name] = {**value, **own}
    integrations = event.get("integrations")
    if integrations.__class__ is dict and len(integrations) > MOST_INTEGRATIONS:
        what = f"{len(integrations):,} keys, the limit is {MOST_INTEGRATIONS:,}: send fewer"
        message_id = event.get("messageId")
        return Rejected(
            message_id if message_id.__class__ is str else "",
            [Violation("integrations", "TOO_MANY", what)],
        )
    return event


def _require_small(shared: dict[str, Any], count: int) -> None:
    """Raises RequestError if what each event gets from its batch is too large in all: 10,000 events
    would make 10 GB of a context of 1 MB.
    """
    try:
        size = len(orjson.dumps(shared))
    except TypeError:
        size = len(json.dumps(shared))
    if size * count > REPEATED_BYTES:
        what = (
            f"context and integrations of the batch have {size:,} bytes, for each of {count:,} "
            f"events; the limit is {REPEATED_BYTES:,} bytes in all: send fewer events in a batch"
        )
        raise RequestError(413, "TOO_LARGE", what)
