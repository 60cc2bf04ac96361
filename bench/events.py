"""The events that are sent: templates, in which the load fills in ids and people."""

import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
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
    """The properties of an order; some 400 bytes as JSON, no two alike."""
    products = [
        {
            "product_id": f"507f1f77bcf86cd7994{number:05d}",
            "sku": f"45790-{number % 97:02d}",
            "name": "Monopoly: 3rd Edition",
            "price": 19 + number % 10,
            "quantity": 1 + number % 3,
            "category": "Games",
        },
        {
            "product_id": f"505bd76785ebb509fc1{number:05d}",
            "sku": f"46493-{number % 89:02d}",
            "name": "Uno Card Game",
            "price": 3.5,
            "quantity": 2,
            "category": "Games",
        },
    ]
    return {
        "order_id": f"50314b8e9bcf000000{number:06d}",
        "total": 27.5 + number % 50,
        "currency": "USD",
        "coupon": None if number % 4 else "hasbros",
        "is_first": number % 7 == 0,
        "products": products,
    }


def event(number: int, *, padding_bytes: int = 0, small: bool = False) -> dict[str, Any]:
    """An event in its canonical form, with marks for its id and its person."""
    properties = {"plan": "pro", "step": number % 10} if small else order(number)
    if padding_bytes:
        properties["note"] = "x" * padding_bytes
    moment = _FIRST + timedelta(milliseconds=number)
    return {
        "type": "track",
        "messageId": ID_MARK,
        "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "userId": f"user-{PERSON_MARK}",
        "event": "Order Completed",
        "properties": properties,
    }


def filled_in(number: int, **options: Any) -> dict[str, Any]:
    """An event as it is once the load has filled it in."""
    text = orjson.dumps(event(number, **options)).decode()
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


def write(path: Path, form: Form, **options: Any) -> Path:
    """Write a file of events for the load, unless it is there; returns its path.

    ``options`` are those of ``event``.
    """
    if not path.exists():
        path.write_bytes(b"".join(_framed(form, options)))
    return path


def _framed(form: Form, options: dict[str, Any]) -> Iterator[bytes]:
    # No more of large ones than fit into a few megabytes.
    variants = max(10, min(_VARIANTS, 4_000_000 // (500 + options.get("padding_bytes", 0))))
    for number in range(variants):
        data = message(event(number, **options), form).SerializeToString()
        yield struct.pack(">I", len(data)) + data
