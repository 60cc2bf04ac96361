"""Makes the HTTP requests of operations, by Track API v1 and v2. PURE."""

from collections.abc import Iterable
from typing import Any, Final

import orjson

from cio_sidecar.customerio import operation_templates
from cio_sidecar.customerio.encoders import (
    ANONYMOUS_ID_ADDED,
    ATTRIBUTES_ADDED,
    EVENT_ACTIONS,
    V1_ONLY,
    Operation,
)
from cio_sidecar.customerio.http_request import Request
from cio_sidecar.operations import OPERATIONS, V1

ENTITY_PATH: Final = "/api/v2/entity"
"""``POST``: a single v2 operation."""

REGION_PATH: Final = "/api/v1/accounts/region"
"""``GET``: which region the credentials belong to; 401 if they are wrong."""

BATCH_PATH: Final = "/api/v2/batch"
_OPEN: Final = b'{"batch":['
_CLOSE: Final = b"]}"
ENVELOPE_BYTES: Final = len(_OPEN) + len(_CLOSE)
"""Bytes of a batch's body besides its items and the comma after each but the last."""


def requests(operations: Iterable[Operation], *, v1: bool) -> list[Request]:
    """An event's requests: by v1, or as items of a v2 batch if v2 can carry them."""
    return [
        v1_request(operation) if v1 or operation.marks & V1_ONLY else v2_item(operation)
        for operation in operations
    ]


def v2_batch(operations: Iterable[Operation]) -> Request:
    """``POST /api/v2/batch`` with the operations in their order."""
    items = b",".join(operation.item for operation in operations)
    return Request("POST", BATCH_PATH, _OPEN + items + _CLOSE)


def v2_item(operation: Operation) -> Request:
    """An operation as a batch has it: ``body`` is the item alone; to be shown, not sent."""
    return Request("POST", BATCH_PATH, operation.item)


def v1_request(operation: Operation) -> Request:
    """The v1 request of an operation.

    identify: ``PUT /api/v1/customers/{identifier}``. Events of a person: ``POST
    /api/v1/customers/{identifier}/events``; of anyone else: ``POST /api/v1/events``. All others as
    operations.yaml has it; where v1 has no call, ``POST /api/v2/entity``.
    """
    item: dict[str, Any] = orjson.loads(operation.item)
    action = item["action"]
    if item["type"] == "person":
        if action in EVENT_ACTIONS:
            return _event(operation, item)
        if action == "identify":
            return _identify(item)
    template = TEMPLATES[item["type"], action]
    if template is None:
        return Request("POST", ENTITY_PATH, operation.item)
    beside = orjson.loads(operation.beside) if operation.beside else {}
    return operation_templates.v1_request(template, {**item, **beside})


def _identify(item: dict[str, Any]) -> Request:
    body: dict[str, Any] = item["attributes"]
    if "timestamp" in item:
        body["_timestamp"] = item["timestamp"]
    if "cio_relationships" in item:
        body["cio_relationships"] = {
            "action": "add_relationships",
            "relationships": item["cio_relationships"],
        }
    return Request("PUT", _customer(item["identifiers"]), orjson.dumps(body))


def _event(operation: Operation, item: dict[str, Any]) -> Request:
    who: dict[str, str] = item.get("identifiers", {})
    body: dict[str, Any] = {}
    attributes: dict[str, Any] | None = item.get("attributes")
    anonymous_id = who.get("anonymous_id")
    if operation.marks & ANONYMOUS_ID_ADDED and attributes is not None:
        anonymous_id = attributes.pop("anonymous_id")
        if operation.marks & ATTRIBUTES_ADDED:
            attributes = None
    if attributes is not None:
        body["data"] = attributes
    body["name"] = item["name"]
    body["id"] = item["id"]
    body["timestamp"] = item["timestamp"]
    body["type"] = item["action"]
    if anonymous_id is not None:
        body["anonymous_id"] = anonymous_id
    if operation.beside:
        body |= orjson.loads(operation.beside)
    known = bool(who) and "anonymous_id" not in who
    path = f"{_customer(who)}/events" if known else "/api/v1/events"
    return Request("POST", path, orjson.dumps(body))


def _customer(who: dict[str, str]) -> str:
    """The path of a person, its identifier percent-encoded whole."""
    return f"/api/v1/customers/{operation_templates.path_segment(who)}"


TEMPLATES: Final = {
    (spec.v2["type"], spec.v2["action"]): spec.v1 if isinstance(spec.v1, V1) else None
    for spec in OPERATIONS.values()
    if spec.v2
}
"""The template of each v2 operation's v1 request, by type and action; None where v1 has no call."""
