"""Decodes requests. Where protobuf rejects the bytes, finds out which event and field are at fault.

gRPC's own deserializer would answer INTERNAL without a word on why, for a whole batch. What a
request costs is bounded before anything is made of it: a large one is walked along its outermost
fields, and its events are decoded one after the other.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from cio.sidecar.v1 import event_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from cio_sidecar.intake import CallLimits, too_large
from cio_sidecar.mapping.errors import MOST_VIOLATIONS, Violation

_Request = TypeVar("_Request", bound=Message)

REQUEST_BYTES: Final = 1_000_000
"""The largest request without events."""
_AT_ONCE_BYTES: Final = 256 * 1024
"""Up to this size a request is decoded as a whole."""
_OTHER_FIELDS: Final = 100
"""How many fields a request may have beside its events."""
_WALKED_FIELDS: Final = 50_000
"""How many fields are looked at in search of a fault, in all events of a request together."""
_VARINT: Final = 0
_SIXTY_FOUR_BITS: Final = 1
_LENGTH_DELIMITED: Final = 2
_THIRTY_TWO_BITS: Final = 5
_CALLS: Final = frozenset(field.name for field in event_pb2.Event.DESCRIPTOR.oneofs[0].fields)


class InvalidRequest(Exception):  # noqa: N818 (named for the condition)
    """The bytes are no message of the kind expected. ``violations`` says where they fail."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = list(violations)

    reason = "INVALID_REQUEST"
    """That of ErrorInfo."""


class TooManyEvents(InvalidRequest):
    """The request has more events than a call may have."""

    reason = "TOO_MANY_EVENTS"


class TooLarge(InvalidRequest):
    """The request's only event is larger than an event may be."""

    reason = "EVENT_REJECTED"


@dataclass(frozen=True, slots=True)
class Undecodable:
    """The place of an event whose bytes are no Event, or too many."""

    violations: list[Violation]


@dataclass(slots=True)
class Events:
    """The events of a request, in their order; decoded as they are asked for, once."""

    count: int
    decoded: Iterator[event_pb2.Event | Undecodable]

    def __iter__(self) -> Iterator[event_pb2.Event | Undecodable]:
        return self.decoded


@dataclass(slots=True)
class _Walk:
    """How many fields may still be looked at in search of a fault."""

    left: int = field(default=_WALKED_FIELDS)


def decode(message_class: type[_Request], data: bytes, most_bytes: int = REQUEST_BYTES) -> _Request:
    """Decode a request without a list of events. Raises InvalidRequest."""
    if len(data) > most_bytes:
        what = f"the request has {len(data):,} bytes, the limit is {most_bytes:,}: send less"
        raise InvalidRequest([Violation("", "TOO_LARGE", what)])
    try:
        return message_class.FromString(data)
    except DecodeError:
        violations = _faults(message_class.DESCRIPTOR, data, _Walk())
        raise InvalidRequest(violations or [_garbled(())]) from None


def decode_event(message_class: type[_Request], data: bytes, limits: CallLimits) -> _Request:
    """Decode a request that holds one event. Raises InvalidRequest."""
    if len(data) > limits.max_event_bytes + _OTHER_FIELDS:
        raise TooLarge([too_large(len(data), limits)])
    return decode(message_class, data, most_bytes=len(data))


def decode_events(
    message_class: type[_Request], data: bytes, limits: CallLimits
) -> tuple[_Request, Events]:
    """Decode a request that holds ``events``: one bad event does not spoil the others.

    Use the message only for its other fields. Raises InvalidRequest if the request itself is
    garbled, TooManyEvents if it has too many.
    """
    if len(data) <= min(_AT_ONCE_BYTES, limits.max_event_bytes):
        try:
            request = message_class.FromString(data)
        except DecodeError:
            pass
        else:
            events = request.events  # type: ignore[attr-defined]
            if len(events) > limits.max_events:
                raise _too_many(limits)
            return request, Events(len(events), iter(events))
    return _walk_events(message_class, data, limits)


def _walk_events(
    message_class: type[_Request], data: bytes, limits: CallLimits
) -> tuple[_Request, Events]:
    fields = message_class.DESCRIPTOR.fields_by_number
    number = message_class.DESCRIPTOR.fields_by_name["events"].number
    request = message_class()
    places: list[tuple[int, int]] = []
    others = 0
    for field_number, wire_type, start, end in _fields(data, 0, len(data), ()):
        if field_number == number and wire_type == _LENGTH_DELIMITED:
            if len(places) == limits.max_events:
                raise _too_many(limits)
            places.append((start, end))
            continue
        others += 1
        if others > _OTHER_FIELDS:
            what = (
                f"the request has over {_OTHER_FIELDS} fields beside its events: send events alone"
            )
            raise InvalidRequest([Violation("", "INVALID_MESSAGE", what)])
        known = fields.get(field_number)
        if known is not None and wire_type == _VARINT and field_number != number:
            setattr(request, known.name, _varint(data, start, end)[0])
    return request, Events(len(places), _decoded(data, places, limits))


def _decoded(
    data: bytes, places: Sequence[tuple[int, int]], limits: CallLimits
) -> Iterator[event_pb2.Event | Undecodable]:
    walk = _Walk()
    for start, end in places:
        if end - start > limits.max_event_bytes:
            yield Undecodable([too_large(end - start, limits)])
            continue
        event = data[start:end]
        try:
            yield event_pb2.Event.FromString(event)
        except DecodeError:
            faults = _faults(event_pb2.Event.DESCRIPTOR, event, walk)
            yield Undecodable(faults or [_garbled(())])


def _too_many(limits: CallLimits) -> TooManyEvents:
    what = (
        f"more than {limits.max_events:,} events in a call (CIO_CALL_MAX_EVENTS): send them in "
        "several calls"
    )
    return TooManyEvents([Violation("events", "TOO_MANY_EVENTS", what)])


def _faults(descriptor: Any, data: bytes, walk: _Walk) -> list[Violation]:
    """The innermost faults of a message, as many as a caller is shown; none if there are too many
    fields to look at.
    """
    found: list[Violation] = []
    for violation in _inner_faults(descriptor, data, (), walk):
        found.append(violation)
        if len(found) > MOST_VIOLATIONS:
            break
    return found


def _inner_faults(
    descriptor: Any, data: bytes, path: tuple[str, ...], walk: _Walk
) -> Iterator[Violation]:
    """Walk the wire format along a message's description, to the innermost faults."""
    try:
        for number, wire_type, start, end in _fields(data, 0, len(data), path):
            walk.left -= 1
            if walk.left < 0:
                return
            field = descriptor.fields_by_number.get(number)
            if field is None or wire_type != _LENGTH_DELIMITED:
                continue
            if field.type == FieldDescriptor.TYPE_STRING:
                yield from _utf8_fault(data[start:end], _inner_path(path, field))
            elif field.message_type is not None:
                value = data[start:end]
                try:
                    GetMessageClass(field.message_type).FromString(value)
                except DecodeError:
                    inner = _inner_path(path, field)
                    if field.message_type is event_pb2.Object.DESCRIPTOR:
                        yield _object_fault(inner)
                    else:
                        yield from _inner_faults(field.message_type, value, inner, walk)
    except InvalidRequest as error:
        yield from error.violations


def _inner_path(path: tuple[str, ...], field: FieldDescriptor) -> tuple[str, ...]:
    """The path of a field by Segment names: the wrappers around it have none."""
    if field.name in _CALLS or (field.name == "event" and field.message_type is not None):
        return path
    return (*path, str(field.camelcase_name))


def _utf8_fault(value: bytes, path: tuple[str, ...]) -> Iterator[Violation]:
    try:
        value.decode()
    except UnicodeDecodeError as error:
        where = f"not valid UTF-8 (at byte {error.start}): encode the text as UTF-8"
        yield Violation(".".join(path), "INVALID_VALUE", where)


def _object_fault(path: tuple[str, ...]) -> Violation:
    return Violation(
        ".".join(path),
        "INVALID_VALUE",
        "this Struct can't be read: a text in it is not valid UTF-8, it nests deeper than about 30 "
        "levels, or its bytes are cut short; JSON bytes may nest deeper",
    )


def _fields(
    data: bytes, start: int, end: int, path: tuple[str, ...]
) -> Iterator[tuple[int, int, int, int]]:
    """The outermost fields of any message: number, wire type, and where its value begins and ends.

    Raises InvalidRequest where the bytes are cut short.
    """
    while start < end:
        tag, start = _varint(data, start, end, path)
        wire_type = tag & 7
        if wire_type == _LENGTH_DELIMITED:
            size, start = _varint(data, start, end, path)
            after = start + size
        elif wire_type == _VARINT:
            after = _varint(data, start, end, path)[1]
        elif wire_type == _SIXTY_FOUR_BITS:
            after = start + 8
        elif wire_type == _THIRTY_TWO_BITS:
            after = start + 4
        else:
            # Groups, which proto3 does not have.
            raise InvalidRequest([_garbled(path)])
        if after > end:
            raise InvalidRequest([_garbled(path)])
        yield tag >> 3, wire_type, start, after
        start = after


def _varint(data: bytes, start: int, end: int, path: tuple[str, ...] = ()) -> tuple[int, int]:
    """A number, and where it ends. Raises InvalidRequest where it is cut short or too long."""
    value = shift = 0
    while start < end and shift < 70:
        byte = data[start]
        start += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, start
        shift += 7
    raise InvalidRequest([_garbled(path)])


def _garbled(path: tuple[str, ...]) -> Violation:
    return Violation(
        ".".join(path),
        "INVALID_MESSAGE",
        "the bytes are cut short or no message of cio.sidecar.v1: generate the client from its "
        "protos",
    )
