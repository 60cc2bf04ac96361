"""From the JSON of a call to events in their canonical form. PURE."""

import re
from typing import Any, Final

from cio_sidecar.http_ingest.errors import RequestError
from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.event import EVENT_TYPES, Event, check
from cio_sidecar.mapping.transforms import json_type
from cio_sidecar.renderer import Refused

BATCHES: Final = ("batch", "import")
CALLS: Final = (*EVENT_TYPES, *BATCHES)
"""What follows /v1/ in a path."""

# The write key is a secret, and the time of receipt is the sidecar's to say.
_NOT_OF_AN_EVENT: Final = ("writeKey", "receivedAt")
_OF_A_BATCH: Final = ("context", "integrations")
_NAME_CHARACTERS: Final = 100
"""Names of integrations that are longer are not Customer.io's."""
_CUSTOMER_IO: Final = frozenset({"customerio", "customerioactions"})


def events_of(call: str, body: dict[str, Any]) -> list[Event | Refused]:
    """The events of a request, in their order; one that is none is refused in its place.

    Raises RequestError where the request itself can't be used.
    """
    if call not in BATCHES:
        return [_event({**body, "type": call})]
    batch = body.get("batch")
    if batch.__class__ is not list:
        got = "none" if "batch" not in body else json_type(batch)
        raise _wrong_type("batch", f"expected a list of events, got {got}")
    shared = {name: body[name] for name in _OF_A_BATCH if body.get(name) is not None}
    for name, value in shared.items():
        if value.__class__ is not dict:
            raise _wrong_type(name, f"expected an object, got {json_type(value)}")
    assert isinstance(batch, list)
    return [_event(item, shared) for item in batch]


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
        if len(name) <= _NAME_CHARACTERS and re.sub("[^a-z]", "", name.lower()) in _CUSTOMER_IO
    ]
    if named:
        return any(choice is not False for choice in named)
    return choices.get("All", choices.get("all")) is not False


def _event(item: Any, shared: dict[str, dict[str, Any]] | None = None) -> Event | Refused:
    if item.__class__ is not dict:
        return Refused("", check(item))
    event: Event = item
    for name in _NOT_OF_AN_EVENT:
        event.pop(name, None)
    for name, value in (shared or {}).items():
        own = event.get(name)
        if own is None:
            event[name] = value
        elif own.__class__ is dict:
            event[name] = {**value, **own}
    return event


def _wrong_type(field: str, what: str) -> RequestError:
    violations = [Violation(field, "WRONG_TYPE", what)]
    return RequestError(400, "INVALID_REQUEST", f"{field}: {what}", violations=violations)
