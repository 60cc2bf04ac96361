"""What the fake holds: people, devices, events, objects, deliveries. Plain records with views.

A view is the JSON form of a record; the Python properties of `FakeCustomerIO` and the `/_fake/`
endpoints give the same ones.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

_CIO_ID = re.compile(r"cio_([A-Za-z0-9]+)")
# Of the dots after the @ only one can match here: the time is linear.
_EMAIL = re.compile(r"[^@\s]+@[^@\s][^@\s.]*\.[^@\s]+")
# 26 digits of Crockford's base 32 hold 130 bits, a ULID has 128: hence the first digit's range.
_ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}", re.IGNORECASE)


class Identifier(NamedTuple):
    """What a person is named by."""

    kind: str
    """`id`, `email`, `phone`, `cio_id`, or `anonymous_id`."""
    value: str

    @classmethod
    def of_segment(cls, segment: str) -> Identifier:
        """Tell a decoded path segment's kind by its shape, as v1 does."""
        if match := _CIO_ID.fullmatch(segment):
            return cls("cio_id", match[1])
        return cls("email" if _EMAIL.fullmatch(segment) else "id", segment)

    @classmethod
    def of(cls, identifiers: dict[str, str]) -> Identifier:
        """The one identifier of a checked v2 `identifiers` object."""
        return cls(*next(iter(identifiers.items())))

    @property
    def key(self) -> tuple[str, str]:
        """What it is looked up by: case doesn't matter in email addresses."""
        return self.kind, self.value.lower() if self.kind == "email" else self.value


def is_ulid(text: str) -> bool:
    """Whether a text is a ULID, in either case."""
    return _ULID.fullmatch(text) is not None


@dataclass(slots=True)
class Device:
    """A device of one person."""

    token: str
    platform: str
    last_used: int
    """Unix seconds; the time of receipt when the call named none."""
    attributes: dict[str, Any]

    def view(self) -> dict[str, Any]:
        """This device as JSON."""
        return {
            "token": self.token,
            "platform": self.platform,
            "last_used": self.last_used,
            "attributes": self.attributes,
        }


@dataclass(slots=True)
class Person:
    """A person, whose identifiers stand apart from the attributes."""

    cio_id: str
    id: str | None = None
    email: str | None = None
    phone: str | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    devices: dict[str, Device] = field(default_factory=dict)
    """By token."""
    segments: set[int] = field(default_factory=set)
    edited_at: int = 0
    """When the attributes last changed, in Unix seconds by the caller's or the fake's clock."""

    def identifiers(self) -> dict[str, str]:
        """The identifiers that are set."""
        every = {"id": self.id, "email": self.email, "phone": self.phone, "cio_id": self.cio_id}
        return {kind: value for kind, value in every.items() if value is not None}

    def view(self) -> dict[str, Any]:
        """This person as JSON: `identifiers`, `attributes`, `segments`."""
        return {
            "identifiers": self.identifiers(),
            "attributes": dict(self.attributes),
            "segments": sorted(self.segments),
        }


@dataclass(slots=True)
class Event:
    """An event that was kept."""

    name: str
    type: str
    """`event`, `page` or `screen`."""
    id: str | None
    timestamp: int
    """Unix seconds; the time of receipt when the call named none."""
    data: dict[str, Any]
    anonymous_id: str | None
    received_at: float
    person: Person | None = None
    """None as long as it is anonymous."""

    def view(self) -> dict[str, Any]:
        """This event as JSON; `person` holds the person's identifiers, or null."""
        return {
            "name": self.name,
            "type": self.type,
            "id": self.id,
            "timestamp": self.timestamp,
            "data": self.data,
            "anonymous_id": self.anonymous_id,
            "person": self.person.identifiers() if self.person else None,
        }


@dataclass(slots=True)
class Object:
    """A thing that isn't a person, with its relationships."""

    object_type_id: str
    object_id: str
    cio_object_id: str
    attributes: dict[str, Any] = field(default_factory=dict)
    people: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)
    """A relationship's attributes by ("cio_id" or "anonymous_id", its value)."""

    def view(self) -> dict[str, Any]:
        """This object as JSON, each relationship with its attributes."""
        return {
            "identifiers": {
                "object_type_id": self.object_type_id,
                "object_id": self.object_id,
                "cio_object_id": self.cio_object_id,
            },
            "attributes": dict(self.attributes),
            "relationships": [
                {"identifiers": {kind: value}, "relationship_attributes": dict(attributes)}
                for (kind, value), attributes in list(self.people.items())
            ],
        }
