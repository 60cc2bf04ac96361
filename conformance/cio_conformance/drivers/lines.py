"""The lines of a driver: an event as it is given to one, and a receipt as it gives it back. PURE.

docs/callers/driver.md describes both.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson
from cio.sidecar.v1 import event_pb2
from cio_sidecar.rpc.event_json import NotSendable

from cio_conformance.drivers import Route
from cio_conformance.run.caller import message_of
from cio_conformance.run.verdict import ACCEPTED, REJECTED, Answer

_OBJECTS: Final = ("context", "properties", "traits")
_TEXTS: Final = (
    *("messageId", "timestamp", "originalTimestamp", "userId", "anonymousId"),
    *("event", "name", "category", "groupId", "previousId"),
)
_EXACT_INTEGERS: Final = 2**53
_STRUCT_LEVELS: Final = 30
"""How deep a Struct may nest: protobuf reads a hundred messages, and each level is three."""
_STRUCT_KEYS: Final = 300
"""Beyond so many attributes some are left out, by their order; a Struct has none."""


class NotByLine(Exception):  # noqa: N818 (named for the condition)
    """An event that can't go by this route; ``str()`` says why."""


def line_of(event: Mapping[str, Any], route: Route) -> bytes:
    """An event as a line for a driver. Raises NotByLine."""
    try:
        message = message_of(dict(event))
    except NotSendable as error:
        raise NotByLine(f"gRPC's messages can't hold it: {error}") from None
    call = message.WhichOneof("call")
    line: dict[str, Any] = {"type": call} if call else {}
    for holder in (message, getattr(message, call) if call else None):
        for field, value in holder.ListFields() if holder is not None else ():
            name = field.camelcase_name
            if name in _TEXTS and field.message_type is None:
                line[name] = value
            elif name in _OBJECTS:
                line[name] = _object(name, value, event[name], route)
    return orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)


def _object(name: str, message: event_pb2.Object, value: Any, route: Route) -> Any:
    if message.WhichOneof("value") != "json":
        raise NotByLine(f"{name} holds NaN or Infinity, which a line of JSON can't")
    if route == "json":
        return message.json.decode()
    if not isinstance(value, dict):
        raise NotByLine(f"{name} is no object")
    _check(name, value, 1)
    return value


def _check(path: str, value: Any, level: int) -> None:
    """Raises NotByLine where a Struct would make something else of a value."""
    if level > _STRUCT_LEVELS:
        raise NotByLine(f"{path} nests deeper than {_STRUCT_LEVELS} levels")
    if isinstance(value, dict):
        if len(value) > _STRUCT_KEYS:
            raise NotByLine(f"{path} has more than {_STRUCT_KEYS} keys, whose order counts")
        for key, item in value.items():
            _check(f"{path}.{key}", item, level + 1)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _check(f"{path}.{index}", item, level + 1)
    elif isinstance(value, int) and abs(value) > _EXACT_INTEGERS:
        raise NotByLine(f"{path} is an integer beyond 2^53")
    elif isinstance(value, float) and value.is_integer() and abs(value) <= _EXACT_INTEGERS:
        raise NotByLine(f"{path} is a float without a fraction")


def answer_of(line: bytes) -> Answer:
    """A driver's receipt as the answer that it tells of. Raises ValueError."""
    try:
        receipt = orjson.loads(line)
        status = receipt["status"]
        match status:
            case "accepted":
                return Answer(ACCEPTED, warnings=[item["field"] for item in _list(receipt)])
            case "duplicate":
                return Answer("DUPLICATE")
            case "rejected":
                found = [
                    (item["field"], item["reason"], item["description"])
                    for item in _list(receipt, "violations")
                ]
                return Answer(REJECTED, violations=found)
            case "failed":
                return Answer(str(receipt.get("code")), str(receipt.get("message", "")))
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        pass
    raise ValueError(
        'expected a receipt such as {"message_id": …, "status": "accepted"}, got '
        f"{line[:300].decode('utf-8', 'replace')}"
    )


def _list(receipt: Mapping[str, Any], key: str = "warnings") -> list[dict[str, Any]]:
    return receipt.get(key) or []
