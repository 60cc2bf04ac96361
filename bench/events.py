"""The events that are sent: templates, in which the load fills in ids and people."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal

import orjson
from cio.sidecar.v1 import event_pb2

Form = Literal["json", "struct"]
"""How an event carries its properties."""

ID_MARK: Final = "@" * 26
"""In place of a message id; bench/load/events.go knows it too."""
PERSON_MARK: Final = "%" * 8
"""In place of a person's number."""

_VARIANTS: Final = 1000
_FIRST: Final = datetime(2026, 3, 2, 9, 30, tzinfo=UTC)


def order(number: int) -> dict[str, Any]:
    """The properties of an order; no two are alike."""
    products = [
        {
            "product_id": f"507f1f77bcf86cd7994{number:05d}",
            "sku": f"45790-{number % 97:02d}",
            "name": "Monopoly: 3rd Edition",
            "price": 19 + number % 10,
            "quantity": 1 + number % 3,
        },
        {
            "product_id": f"505bd76785ebb509fc1{number:05d}",
            "sku": f"46493-{number % 89:02d}",
            "name": "Uno Card Game",
            "price": 3.5,
            "quantity": 2,
        },
    ]
    return {
        "order_id": f"50314b8e9bcf000000{number:06d}",
        "total": 27.5 + number % 50,
        "currency": "USD",
        "is_first": number % 7 == 0,
        "products": products,
    }


def event(number: int, size_bytes: int = 0) -> dict[str, Any]:
    """An event in its canonical form, with marks for its id and its person.

    It is an order of some 480 bytes, or of a size that is given.
    """
    moment = _FIRST + timedelta(milliseconds=number)
    made: dict[str, Any] = {
        "type": "track",
        "messageId": ID_MARK,
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "userId": f"user-{PERSON_MARK}",
        "event": "Order Completed",
        "properties": {"note": ""} if size_bytes else order(number),
    }
    missing = size_bytes - len(orjson.dumps(made))
    if missing > 0:
        made["properties"]["note"] = "x" * missing
    return made


def filled_in(number: int) -> dict[str, Any]:
    """An order as it is once the load has filled it in."""
    text = orjson.dumps(event(number)).decode()
    text = text.replace(ID_MARK, f"{number:026d}").replace(PERSON_MARK, f"{number:08d}")
    filled: dict[str, Any] = orjson.loads(text)
    return filled


def message(canonical: dict[str, Any], form: Form) -> event_pb2.Event:
    """The message of an event."""
    made = event_pb2.Event(
        message_id=canonical["messageId"],
        timestamp=canonical["timestamp"],
        user_id=canonical["userId"],
        track=event_pb2.Track(event=canonical["event"]),
    )
    if form == "struct":
        made.track.properties.struct.update(canonical["properties"])
    else:
        made.track.properties.json = orjson.dumps(canonical["properties"])
    return made


@cache
def write(folder: Path, form: Form, size_bytes: int) -> Path:
    """Write a file of events for the load; returns its path."""
    path = folder / f"{form}-{size_bytes}.events"
    path.write_bytes(b"".join(_framed(form, size_bytes)))
    return path


def _framed(form: Form, size_bytes: int) -> Iterator[bytes]:
    # Of large events fewer, so that all of them are a few megabytes.
    for number in range(max(10, min(_VARIANTS, 4_000_000 // (size_bytes or 500)))):
        data = message(event(number, size_bytes), form).SerializeToString()
        yield struct.pack(">I", len(data)) + data
