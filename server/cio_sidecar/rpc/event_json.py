"""Between the gRPC message Event and an event's canonical form, the Segment spec's JSON object."""

import json
from typing import Any, Final

import orjson
from cio.sidecar.v1 import event_pb2
from google.protobuf import struct_pb2

from cio_sidecar.mapping.errors import Violation
from cio_sidecar.mapping.event import EVENT_TYPES, MAX_DEPTH, Event, holds_nonfinite, unfit
from cio_sidecar.mapping.running.transforms import json_type

_EXACT_INTEGERS: Final = 2.0**53
STRUCT_VALUES: Final = 50_000
"""How many values a Struct may have: at two bytes for each in JSON, as many as the 100,000 bytes of
data that Customer.io takes.
"""
CONTAINERS: Final = 50_000
"""How many lists and objects the JSON of an object may have. To make them takes far longer than
other values, and Customer.io takes no data that is so large.
"""
_TOO_DEEP: Final = f"objects and lists nest deeper than {MAX_DEPTH} levels: flatten them"

_TEXT_FIELDS: Final = (
    ("message_id", "messageId"),
    ("timestamp", "timestamp"),
    ("original_timestamp", "originalTimestamp"),
    ("user_id", "userId"),
    ("anonymous_id", "anonymousId"),
)
_CALL_FIELDS: Final[dict[str, tuple[tuple[str, str], ...]]] = {
    "identify": (("group_id", "groupId"),),
    "track": (("event", "event"),),
    "page": (("name", "name"), ("category", "category")),
    "screen": (("name", "name"), ("category", "category")),
    "group": (("group_id", "groupId"),),
    "alias": (("previous_id", "previousId"),),
}
_CALL_OBJECTS: Final[dict[str, str]] = {
    "identify": "traits",
    "track": "properties",
    "page": "properties",
    "screen": "properties",
    "group": "traits",
    "alias": "",
}


def to_event(message: event_pb2.Event) -> tuple[Event, list[Violation]]:
    """The canonical form of a message, and what is wrong with its objects.

    An empty text field is an absent one. Whole doubles of a Struct become integers.
    """
    call = message.WhichOneof("call")
    if call is None:
        return {"messageId": message.message_id}, [
            Violation("type", "UNKNOWN_TYPE", f"set one of the calls {', '.join(EVENT_TYPES)}")
        ]
    violations: list[Violation] = []
    event: Event = {"type": call}
    # One by one: a loop over their names would take twice as long, of every event.
    if text := message.message_id:
        event["messageId"] = text
    if text := message.timestamp:
        event["timestamp"] = text
    if text := message.original_timestamp:
        event["originalTimestamp"] = text
    if text := message.user_id:
        event["userId"] = text
    if text := message.anonymous_id:
        event["anonymousId"] = text
    body = getattr(message, call)
    for field, name in _CALL_FIELDS[call]:
        if text := getattr(body, field):
            event[name] = text
    if objects := _CALL_OBJECTS[call]:
        _set_object(event, objects, getattr(body, objects), violations)
    if message.HasField("context"):
        _set_object(event, "context", message.context, violations)
    return event, violations


class NotSendable(Exception):  # noqa: N818 (named for the condition)
    """An event that the message has no place for; ``violation`` says which field, and why."""

    def __init__(self, field: str, reason: str, description: str) -> None:
        super().__init__(f"{field}: {description}")
        self.violation = Violation(field, reason, description)


def from_event(event: Event) -> event_pb2.Event:
    """The message of an event, its objects as JSON bytes: what a Python caller sends.

    An object goes over as it is, mistakes included, so that the sidecar can name them. Raises
    NotSendable where the message has no place for something: an unknown type, or a value of a kind
    that a text field can't hold.
    """
    call = event.get("type")
    if call not in EVENT_TYPES:
        one_of = f"expected one of {', '.join(EVENT_TYPES)}"
        raise NotSendable("type", "UNKNOWN_TYPE", f"{one_of}, got {str(call)[:40]!r}")
    message = event_pb2.Event()
    body = getattr(message, call)
    body.SetInParent()
    for target, fields in ((message, _TEXT_FIELDS), (body, _CALL_FIELDS[call])):
        for field, name in fields:
            value = event.get(name)
            if value is not None:
                setattr(target, field, _text(name, value))
    objects = _CALL_OBJECTS[call]
    for holder, name in ((message, "context"), (body, objects)):
        value = event.get(name) if name else None
        if value is not None:
            try:
                _fill_object(getattr(holder, name), value)
            except RecursionError:
                raise NotSendable(name, "TOO_DEEP", _TOO_DEEP) from None
    for name in ("properties", "traits"):
        if name != objects and event.get(name) is not None:
            what = f"{call} events have none: put them into {objects or 'another event'}"
            raise NotSendable(name, "WRONG_TYPE", what)
    return message


def _text(name: str, value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(int(value)) if float(value).is_integer() else str(value)
    raise NotSendable(name, "WRONG_TYPE", f"expected text or a number, got {json_type(value)}")


def _fill_object(message: event_pb2.Object, value: Any) -> None:
    try:
        encoded = orjson.dumps(value)
    except TypeError:
        # Nests deeper than orjson can write; the sidecar will say so.
        encoded = json.dumps(value, separators=(",", ":")).encode()
    if b"null" in encoded and holds_nonfinite((value,)):
        # JSON has no NaN: orjson wrote null. A Struct carries it to the sidecar, which names it.
        message.struct.update(value)
    else:
        message.json = encoded


def _set_object(
    event: Event, name: str, message: event_pb2.Object, violations: list[Violation]
) -> None:
    raw = message.json
    if raw or (kind := message.WhichOneof("value")) == "json":
        if len(raw) > CONTAINERS and raw.count(b"[") + raw.count(b"{") > CONTAINERS:
            what = f"over {CONTAINERS:,} lists and objects: send less"
            violations.append(Violation(name, "TOO_MANY", what))
            return
        try:
            value = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            violations.append(_invalid_json(name, raw, error))
            return
        if value.__class__ is not dict:
            violations.append(
                Violation(name, "WRONG_TYPE", f"expected a JSON object, got {json_type(value)}")
            )
            return
        event[name] = value
    elif kind == "struct":
        values = _Values()
        try:
            event[name] = values.object(message.struct)
        except _TooManyValues:
            what = (
                f"a Struct with over {STRUCT_VALUES:,} values: send less, or the bytes of a JSON "
                "object"
            )
            violations.append(Violation(name, "TOO_MANY", what))
            return
        if holds_nonfinite((event[name],)):
            violations += unfit({name: event[name]})


class _TooManyValues(Exception):  # noqa: N818 (named for the condition)
    """A Struct has more values than are looked at."""


class _Values:
    """Makes Python's values of a Struct's, which costs a microsecond for each."""

    def __init__(self) -> None:
        self._left = STRUCT_VALUES

    def object(self, struct: struct_pb2.Struct) -> dict[str, Any]:
        """An object. Raises _TooManyValues."""
        fields = struct.fields
        self._count(len(fields))
        return {key: self._value(fields[key]) for key in fields}

    def _count(self, values: int) -> None:
        self._left -= values
        if self._left < 0:
            raise _TooManyValues

    def _value(self, value: struct_pb2.Value) -> Any:
        # Most values are these; asking for the kind first takes as long as reading one.
        if text := value.string_value:
            return text
        if number := value.number_value:
            return int(number) if number.is_integer() and abs(number) <= _EXACT_INTEGERS else number
        kind = value.WhichOneof("kind")
        if kind == "string_value":
            return ""
        if kind == "number_value":
            return 0
        if kind == "bool_value":
            return value.bool_value
        if kind == "struct_value":
            return self.object(value.struct_value)
        if kind == "list_value":
            items = value.list_value.values
            self._count(len(items))
            return [self._value(item) for item in items]
        return None


def _invalid_json(name: str, raw: bytes, error: orjson.JSONDecodeError) -> Violation:
    if not raw:
        return Violation(name, "INVALID_JSON", "expected the bytes of a JSON object, got none")
    if raw[error.pos : error.pos + 3] == b"NaN" or raw[error.pos :].lstrip(b"-")[:3] == b"Inf":
        what = f"JSON has no NaN or Infinity (at byte {error.pos}): leave the key out"
        return Violation(name, "INVALID_JSON", what)
    if "limit" in error.msg:
        # It nests deeper than orjson can read, which is deeper than it can write.
        return Violation(name, "TOO_DEEP", _TOO_DEEP)
    return Violation(name, "INVALID_JSON", f"not valid JSON in UTF-8: {error.msg}"[:300])
