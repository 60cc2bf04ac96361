"""Track API v1: one request an operation, made from the operation's stored form."""

from typing import Any, Final
from urllib.parse import quote

import orjson

from cio_sidecar.customerio.operation import ANONYMOUS_ID_ADDED, ATTRIBUTES_ADDED, Operation
from cio_sidecar.customerio.request import Request

REGION_PATH: Final = "/api/v1/accounts/region"
"""``GET``: which region the credentials belong to; 401 if they are wrong."""


def request(operation: Operation) -> Request:
    """The v1 request of an operation.

    identify: ``PUT /api/v1/customers/{identifier}``. Events of a person: ``POST
    /api/v1/customers/{identifier}/events``; of anybody else: ``POST /api/v1/events``.
    """
    item: dict[str, Any] = orjson.loads(operation.item)
    who: dict[str, str] = item.get("identifiers", {})
    if item["action"] == "identify":
        return Request("PUT", _customer(who), orjson.dumps(item["attributes"]))
    body: dict[str, Any] = {}
    attributes: dict[str, Any] | None = item.get("attributes")
    anonymous_id = who.get("anonymous_id", operation.anonymous_id)
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
    known = bool(who) and "anonymous_id" not in who
    path = f"{_customer(who)}/events" if known else "/api/v1/events"
    return Request("POST", path, orjson.dumps(body))


def _customer(who: dict[str, str]) -> str:
    """The path of a person, its identifier percent-encoded whole."""
    ((kind, value),) = who.items()
    return f"/api/v1/customers/{quote(f'cio_{value}' if kind == 'cio_id' else value, safe='')}"
