"""Operations: what Customer.io is asked to do, neutral of API version.

An operation is kept in the form in which it is stored and joined into batches: the bytes of its v2
item, and what its v1 form needs besides. Here are the encoders of ``identify`` and ``event``;
templates.py encodes all others from operations.yaml.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cio_sidecar import compact_json
from cio_sidecar.customerio.limits import (
    OPERATION_BYTES,
    SECONDS,
    Problem,
    check_anonymous_id,
    check_attributes,
    check_data,
    check_person,
    check_relationship,
    check_size,
    cut_name,
)
from cio_sidecar.customerio.reserved_attributes import (
    DELETE_RELATIONSHIPS,
    relationships,
    unusable,
)
from cio_sidecar.customerio.truncate import cut_attributes, cut_data

EVENT_ACTIONS: Final = ("event", "page", "screen")

V1_ONLY: Final = 1
"""Mark: only Track API v1 can carry the operation."""
ANONYMOUS_ID_ADDED: Final = 2
"""Mark: ``attributes.anonymous_id`` is the event's anonymous id, put there because v2 has no other
place for it, and not a property of the caller's. In v1 it is a key of its own."""
ATTRIBUTES_ADDED: Final = 4
"""Mark: the event has no data; ``attributes`` is there for the anonymous id alone."""

JOINED: Final = "\x1f"
"""Between the lanes of an operation that makes one of two identities."""

# Of the dots after the @ only one can match here: the time is linear.
_EMAIL: Final = re.compile(r"[^@\s]+@[^@\s][^@\s.]*\.[^@\s]+")
_NO_DATA: Final = ANONYMOUS_ID_ADDED | ATTRIBUTES_ADDED
_CIO_ID: Final = re.compile(r"cio_[A-Za-z0-9]+")


class Operation(NamedTuple):
    """One thing that Customer.io is asked to do."""

    lane: str
    """Whose operations are kept in order: ``p:`` and the person, or ``a:`` and the anonymous
    visitor; both, separated by JOINED, where the operation makes one of them."""
    item: bytes
    """The operation as an item of a v2 batch: compact JSON in UTF-8."""
    marks: int = 0
    """V1_ONLY, ANONYMOUS_ID_ADDED and ATTRIBUTES_ADDED, or'ed."""
    beside: bytes = b""
    """What v2 has no place for and v1 has, as a JSON object; empty for nothing. Of an event, the
    anonymous id where a property of that name stands in its place."""


@dataclass(slots=True)
class Encoded:
    """An encoding attempt: operations, or problems; and what was changed on the way."""

    operations: tuple[Operation, ...]
    """In the order of their delivery; empty where there are problems."""
    problems: list[Problem]
    changes: list[Problem]
    """What was changed: the key and what was done."""


def identifiers(person: str) -> dict[str, str]:
    """v2 identifiers of a person: ``cio_id`` (without its prefix), ``email`` or ``id`` by shape.

    The server tells the same shapes apart in the path of a v1 request.
    """
    if person.startswith("cio_") and _CIO_ID.fullmatch(person):
        return {"cio_id": person[4:]}
    if "@" in person and _EMAIL.fullmatch(person):
        return {"email": person}
    return {"id": person}


def identify(
    person: Any, attributes: dict[str, Any], *, keep: Collection[str] | None = None
) -> Encoded:
    """Create or update a person (v2 person ``identify``; v1 ``PUT /api/v1/customers/{id}``).

    Relationships to be deleted (``cio_relationships``) are an operation of their own, since v2's
    identify only adds. With ``keep`` what exceeds a limit is cut, not rejected; the names in it
    are the last to be left out if there are too many.
    """
    changes = unusable(attributes)
    beside: dict[str, Any] = {}
    deleted: list[Any] | None = None
    if changes or "_timestamp" in attributes or "cio_relationships" in attributes:
        left_out = {change.key for change in changes}
        # A copy: what is taken out of it stays with the caller.
        attributes = {key: value for key, value in attributes.items() if key not in left_out}
        if "_timestamp" in attributes:
            beside["timestamp"] = attributes.pop("_timestamp")
        if "cio_relationships" in attributes:
            action, related = relationships(attributes.pop("cio_relationships"))
            if action == DELETE_RELATIONSHIPS:
                deleted = related
            else:
                beside["cio_relationships"] = related
    if keep is not None:
        attributes, cut = cut_attributes(attributes, keep)
        changes += cut
    problems = check_person("id", person) + check_attributes(attributes)
    if beside or deleted:
        for relationship in (*beside.get("cio_relationships", ()), *(deleted or ())):
            problems += check_relationship(relationship)
    anonymous_id = attributes.get("anonymous_id")
    if anonymous_id.__class__ is str:
        problems += check_anonymous_id(anonymous_id)
    if problems:
        return Encoded((), problems, changes)
    who = identifiers(person)
    lane = f"p:{person}"
    if anonymous_id.__class__ is str and anonymous_id:
        # The visitor's earlier events come before it, and the later ones after it.
        lane = f"{lane}{JOINED}a:{anonymous_id}"
    item = {"type": "person", "identifiers": who, "action": "identify", "attributes": attributes}
    encoded = compact_json.dumps({**item, **beside} if beside else item)
    operations = [Operation(lane, encoded, _size_mark(encoded))]
    if deleted is not None:
        gone = {
            "type": "person",
            "identifiers": who,
            "action": DELETE_RELATIONSHIPS,
            "cio_relationships": deleted,
        }
        encoded = compact_json.dumps(gone)
        if len(encoded) > OPERATION_BYTES:
            too_large = check_size("cio_relationships", len(encoded), OPERATION_BYTES)
            return Encoded((), too_large, changes)
        operations.append(Operation(lane, encoded))
    return Encoded(tuple(operations), [], changes)


def event(fields: dict[str, Any], *, truncate: bool = False, invites: bool = True) -> Encoded:
    """Record an event, page or screen view of a person or of an anonymous visitor.

    ``fields`` are the keys of a Track API v1 event (``name``, ``id``, ``timestamp``, ``type``,
    ``data``, ``anonymous_id``) and ``person``, the person's identifier. With neither person nor
    anonymous id it must be an invite: ``data.recipient`` set; only v1 carries that. ``truncate``:
    leave the largest values of data over its limit out, instead of rejecting it. ``invites``: allow
    an invite.
    """
    name: Any = fields.get("name")
    id_: Any = fields.get("id")
    timestamp: Any = fields.get("timestamp")
    person: str | None = fields.get("person")
    anonymous_id: str | None = fields.get("anonymous_id")
    data: dict[str, Any] | None = fields.get("data")
    action: str = fields.get("type", "event")
    problems: list[Problem] = []
    # What is so of nearly every event, in one condition: to look at each field takes long.
    if not (
        name.__class__ is id_.__class__ is str
        and (name and id_)
        and not (name.isspace() or id_.isspace())
        and timestamp.__class__ is int
        and timestamp in SECONDS
        and (person is None or _is_text(person))
        and (anonymous_id is None or _is_text(anonymous_id))
        and (data is None or data.__class__ is dict)
        and action in EVENT_ACTIONS
    ):
        problems = _wrong_types(fields)
    if person is None and anonymous_id is None and not (invites and _is_invite(action, data)):
        problems.append(_NO_PERSON)
    if problems:
        return Encoded((), problems, [])
    name, changes = cut_name(name.strip())
    if person is not None:
        problems = check_person("person", person)
    if anonymous_id is not None:
        problems += check_anonymous_id(anonymous_id)
    item: dict[str, Any] = {"type": "person"}
    marks, beside = 0, b""
    if truncate and data is not None:
        data, cut_values = cut_data(data)
        changes += cut_values
    attributes = data
    if person is not None:
        item["identifiers"] = identifiers(person)
        lane = f"p:{person}"
        if anonymous_id is None:
            pass
        elif data is not None and "anonymous_id" in data:
            changes.append(_DISPLACED)
            beside = compact_json.dumps({"anonymous_id": anonymous_id})
        else:
            attributes = {**(data or {}), "anonymous_id": anonymous_id}
            marks = ANONYMOUS_ID_ADDED if data is not None else _NO_DATA
    elif anonymous_id is not None:
        item["identifiers"] = {"anonymous_id": anonymous_id}
        lane = f"a:{anonymous_id}"
    else:
        lane = f"e:{id_}"
    item |= {"action": action, "name": name, "id": id_, "timestamp": timestamp}
    if attributes is not None:
        item["attributes"] = attributes
    encoded = compact_json.dumps(item)
    if data is not None and (too_large := check_data(data, encoded)):
        problems.append(too_large)
    if problems:
        return Encoded((), problems, changes)
    marks |= V1_ONLY if "identifiers" not in item else _size_mark(encoded)
    return Encoded((Operation(lane, encoded, marks, beside),), [], changes)


def _is_text(value: Any) -> bool:
    return value.__class__ is str and value != "" and not value.isspace()


def _wrong_types(fields: dict[str, Any]) -> list[Problem]:
    """What a table made that the Track API has no place for. The built-in tables' transforms make
    the right types; a user's own rows may not."""
    problems: list[Problem] = []
    for key, expected, word in _FIELD_TYPES:
        value = fields.get(key)
        if value is None:
            if key in ("name", "id", "timestamp"):
                what = f"Customer.io takes no event without a {key}"
                problems.append(Problem(key, "REQUIRED", what))
        elif value.__class__ is not expected:
            what = f"expected {word}, got {value.__class__.__name__}: add a transform to the row"
            problems.append(Problem(key, "WRONG_TYPE", what))
        elif isinstance(value, str) and not value.strip():
            what = "expected text that is not blank: add a transform to the row"
            problems.append(Problem(key, "WRONG_TYPE", what))
        elif isinstance(value, int) and value not in SECONDS:
            what = f"expected {word}, got what no date has: add a transform to the row"
            problems.append(Problem(key, "INVALID_VALUE", what))
    if fields.get("type", "event") not in EVENT_ACTIONS:
        one_of = f"expected one of {', '.join(EVENT_ACTIONS)}"
        problems.append(Problem("type", "INVALID_VALUE", one_of))
    return problems


_DISPLACED: Final = Problem(
    "anonymous_id",
    "INVALID_VALUE",
    "the property anonymous_id is kept in its place where the v2 API is used",
)
_NO_PERSON: Final = Problem(
    "person",
    "NO_PERSON",
    "the event has no person: give userId, an email address in traits or context.traits, or "
    "anonymousId",
)
_FIELD_TYPES: Final = (
    ("name", str, "text"),
    ("id", str, "text"),
    ("timestamp", int, "whole Unix seconds"),
    ("data", dict, "an object"),
    ("anonymous_id", str, "text"),
    ("person", str, "text"),
)


def _size_mark(item: bytes) -> int:
    return V1_ONLY if len(item) > OPERATION_BYTES else 0


def _is_invite(action: str, data: dict[str, Any] | None) -> bool:
    is_event = action == "event" and data.__class__ is dict
    recipient = data.get("recipient") if is_event and data else None
    return recipient.__class__ is str and not recipient.isspace() and bool(recipient)
