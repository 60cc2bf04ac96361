"""Decodes requests. Where protobuf refuses the bytes, finds out which event and field are at fault.

gRPC's own deserializer would answer INTERNAL without a word on why, for a whole batch.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from cio.sidecar.v1 import event_pb2
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass
from google.protobuf.unknown_fields import UnknownFieldSet

from cio_sidecar.mapping.errors import Violation

_Request = TypeVar("_Request", bound=Message)

_LENGTH_DELIMITED: Final = 2
_CALLS: Final = frozenset(field.name for field in event_pb2.Event.DESCRIPTOR.oneofs[0].fields)


class InvalidRequest(Exception):  # noqa: N818 (named for the condition)
    """The bytes are no message of the kind expected. ``violations`` says where they fail."""

    def __init__(self, violations: Sequence[Violation]) -> None:
        super().__init__("; ".join(f"{v.field}: {v.description}" for v in violations))
        self.violations = list(violations)


@dataclass(frozen=True, slots=True)
class Undecodable:
    """The place of an event whose bytes are no Event."""

    violations: list[Violation]


def decode(message_class: type[_Request], data: bytes) -> _Request:
    """Decode a request. Raises InvalidRequest."""
    try:
        return message_class.FromString(data)
    except DecodeError:
        violations = list(_faults(message_class.DESCRIPTOR, data, ()))
        raise InvalidRequest(violations or [_garbled(())]) from None


def decode_events(
    message_class: type[_Request], data: bytes
) -> tuple[_Request, Sequence[event_pb2.Event | Undecodable]]:
    """Decode a request that holds ``events``: one bad event does not spoil the others.

    Where some can't be decoded, the message returned has all other fields, and no events. Raises
    InvalidRequest if the request itself is garbled.
    """
    try:
        request = message_class.FromString(data)
    except DecodeError:
        return _decode_one_by_one(message_class, data)
    return request, request.events  # type: ignore[attr-defined]


def _decode_one_by_one(
    message_class: type[_Request], data: bytes
) -> tuple[_Request, Sequence[event_pb2.Event | Undecodable]]:
    number = message_class.DESCRIPTOR.fields_by_name["events"].number
    request = message_class()
    events: list[event_pb2.Event | Undecodable] = []
    for field, wire_type, value in _fields(data, ()):
        if field == number and wire_type == _LENGTH_DELIMITED:
            try:
                events.append(event_pb2.Event.FromString(value))
            except DecodeError:
                faults = list(_faults(event_pb2.Event.DESCRIPTOR, value, ()))
                events.append(Undecodable(faults or [_garbled(())]))
        elif field != number and isinstance(value, int):
            known = message_class.DESCRIPTOR.fields_by_number.get(field)
            if known is not None:
                setattr(request, known.name, value)
    return request, events


def _faults(descriptor: Any, data: bytes, path: tuple[str, ...]) -> Iterable[Violation]:
    """Walk the wire format along a message's description, to the innermost faults."""
    try:
        fields = _fields(data, path)
    except InvalidRequest as error:
        yield from error.violations
        return
    for number, wire_type, value in fields:
        field = descriptor.fields_by_number.get(number)
        if field is None or wire_type != _LENGTH_DELIMITED:
            continue
        if field.type == FieldDescriptor.TYPE_STRING:
            yield from _utf8_fault(value, _inner_path(path, field))
        elif field.message_type is not None:
            try:
                GetMessageClass(field.message_type).FromString(value)
            except DecodeError:
                inner = _inner_path(path, field)
                if field.message_type is event_pb2.Object.DESCRIPTOR:
                    yield _object_fault(inner)
                else:
                    yield from _faults(field.message_type, value, inner)


def _inner_path(path: tuple[str, ...], field: FieldDescriptor) -> tuple[str, ...]:
    """The path of a field by Segment names: the wrappers around it have none."""
    if field.name in _CALLS or (field.name == "event" and field.message_type is not None):
        return path
    return (*path, str(field.camelcase_name))


def _utf8_fault(value: bytes, path: tuple[str, ...]) -> Iterable[Violation]:
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


def _fields(data: bytes, path: tuple[str, ...]) -> list[tuple[int, int, Any]]:
    """The fields of any message: number, wire type, value (bytes, or an integer)."""
    try:
        unknown: Any = UnknownFieldSet(Empty.FromString(data))
    except DecodeError:
        raise InvalidRequest([_garbled(path)]) from None
    return [(field.field_number, field.wire_type, field.data) for field in unknown]


def _garbled(path: tuple[str, ...]) -> Violation:
    return Violation(
        ".".join(path),
        "INVALID_MESSAGE",
        "the bytes are cut short or no message of cio.sidecar.v1: generate the client from its "
        "protos",
    )
