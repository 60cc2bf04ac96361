"""The canonical form of an event: the Segment spec's JSON object. Its shape is checked here."""

import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, Final

import orjson

from cio_sidecar.mapping.errors import (
    FIELD_CHARACTERS,
    MORE,
    MOST_VIOLATIONS,
    Violation,
    shorten,
)
from cio_sidecar.mapping.running.transforms import json_type

Event = dict[str, Any]

EVENT_TYPES: Final = ("identify", "track", "page", "screen", "group", "alias")
OBJECT_FIELDS: Final = ("properties", "traits", "context")
ROOTS: Final = (
    "type",
    "userId",
    "anonymousId",
    "messageId",
    "timestamp",
    "originalTimestamp",
    "receivedAt",
    "event",
    "name",
    "category",
    "groupId",
    "previousId",
    *OBJECT_FIELDS,
)
"""The keys of an event: what its message has a place for, and what the sidecar sets."""
MESSAGE_ID_BYTES: Final = 255
"""The most bytes of UTF-8 that a messageId may have; the sidecar's own limit."""
MAX_DEPTH: Final = 254
"""How deep objects and lists may nest in an event, itself included; what JSON encoding bears."""
INTEGERS: Final = range(-(2**63), 2**64)
"""The whole numbers that can be sent."""

_AT_ONCE: Final = 128
_MOST_PLACES: Final = 100
"""How many bad places are named: those below a long path have the same name, cut short, and it
takes long to make."""
_TOO_DEEP: Final = f"objects and lists nest deeper than {MAX_DEPTH} levels: flatten them"
_PLAIN: Final = (bool, type(None), dict, list)
# An escape, and not a backslash that is escaped with digits behind it.
_NULL: Final = re.compile(rb"(?<!\\)(?:\\\\)*+\\u0000")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def check(event: Any) -> list[Violation]:
    """What is wrong with the shape of an event: its type, and what must be an object."""
    if event.__class__ is not dict:
        return [Violation("", "WRONG_TYPE", f"an event is an object, got {json_type(event)}")]
    violations: list[Violation] = []
    event_type = event.get("type")
    if event_type not in EVENT_TYPES:
        violations.append(_unknown_type(event_type))
    for field in OBJECT_FIELDS:
        value = event.get(field)
        if value is not None and value.__class__ is not dict:
            violations.append(
                Violation(field, "WRONG_TYPE", f"expected an object, got {json_type(value)}")
            )
    message_id = event.get("messageId")
    if message_id.__class__ is str:
        # No character takes more than four bytes, so most ids need no encoding to be measured.
        if len(message_id) * 4 > MESSAGE_ID_BYTES:
            size = len(message_id.encode("utf-8", "surrogatepass"))
            if size > MESSAGE_ID_BYTES:
                violations.append(
                    Violation(
                        "messageId",
                        "TOO_LARGE",
                        f"{size:,} bytes, the limit is {MESSAGE_ID_BYTES}: use a ULID or UUID",
                    )
                )
    elif message_id is not None and message_id.__class__ is not int:
        violations.append(
            Violation("messageId", "WRONG_TYPE", f"expected text, got {json_type(message_id)}")
        )
    return violations


def may_be_unfit(event: Event, encoded: bytes) -> bool:
    r"""Whether an event may hold what unfit() names, although it could be written as JSON.

    A null character is written ``\u0000``, and what JSON has no number for ``null``.
    """
    # Of a single byte the search is many times faster.
    escapes = b"\\" in encoded and b"\\u0000" in encoded and _NULL.search(encoded)
    return bool(escapes) or (b"null" in encoded and holds_nonfinite(event.values()))


def holds_nonfinite(values: Iterable[Any]) -> bool:
    """Whether any of the values is, or holds at any depth, a number that JSON has none for."""
    for value in values:
        kind = value.__class__
        if kind is float:
            if not math.isfinite(value):
                return True
        elif kind is dict:
            if holds_nonfinite(value.values()):
                return True
        elif kind is list and holds_nonfinite(value):
            return True
    return False


def unfit(event: Event) -> list[Violation]:
    """The fields whose key or value JSON, or Customer.io, has no place for: the first dozen, and
    MORE if there are others.
    """
    found: list[Violation] = []
    for count, (path, reason, what) in enumerate(_unfit_places(event)):
        if count == _MOST_PLACES:
            return [*found, MORE]
        violation = Violation(_joined(path), reason, what)
        if violation in found:
            continue
        if len(found) == MOST_VIOLATIONS:
            return [*found, MORE]
        found.append(violation)
    return found


def _unfit_places(event: Event) -> Iterator[tuple[list[Any], str, str]]:
    """Keys down to each bad key or value, a reason, and what is wrong. No path is built here: a
    long key may stand above millions of values.
    """
    path: list[Any] = [None]
    levels: list[tuple[Any, Iterator[tuple[Any, Any]]]] = [(dict, iter(event.items()))]
    while levels:
        outer, items = levels[-1]
        for key, value in items:
            path[-1] = key
            kind = value.__class__
            if key.__class__ is str:
                if what := _unfit_value(key):
                    yield path, "INVALID_VALUE", f"the key {what}"
            elif outer is dict:
                yield path, "INVALID_VALUE", "a key must be text"
            if kind is dict or kind is list:
                if len(levels) >= MAX_DEPTH:
                    yield path[:1], "TOO_DEEP", _TOO_DEEP
                    continue
                levels.append((kind, _suspects(value, len(levels))))
                path.append(None)
                break
            if what := _unfit_value(value):
                yield path, "INVALID_VALUE", what
        else:
            levels.pop()
            path.pop()


def _suspects(value: Any, level: int) -> Iterator[tuple[Any, Any]]:
    """Keys and items of an object or a list at a level, without those that surely are fit.

    To write many at once as JSON is a hundred times faster than to look at each.
    """
    items = iter(value.items()) if value.__class__ is dict else enumerate(value)
    if len(value) <= _AT_ONCE:
        yield from items
        return
    while many := list(islice(items, _AT_ONCE)):
        nested: Any = dict(many) if value.__class__ is dict else [item for _, item in many]
        if not _is_surely_fit(nested, level):
            yield from many


def _is_surely_fit(value: Any, level: int) -> bool:
    nested = value
    for _ in range(level):
        # For what nests too deep only together with what it is in.
        nested = [nested]
    try:
        encoded = orjson.dumps(nested)
    except TypeError:
        return False
    return not may_be_unfit(value if value.__class__ is dict else {"": value}, encoded)


def _joined(path: list[Any]) -> str:
    """Keys joined by dots, as much of them as a caller is shown."""
    shown = ""
    for key in path:
        shown += f".{_shown(key)}" if shown else _shown(key)
        if len(shown) > FIELD_CHARACTERS:
            break
    return shorten(shown, FIELD_CHARACTERS)


def _unfit_value(value: Any) -> str | None:
    """Why a value that is neither object nor list can't be sent; None if it can."""
    kind = value.__class__
    if kind is str:
        if "\0" in value:
            return "holds a null byte (U+0000): remove it from the text"
        if not value.isascii() and _SURROGATE.search(value):
            return "holds half a surrogate pair, which is no character: remove it from the text"
    elif kind is float:
        if not math.isfinite(value):
            return f"JSON has no {value}: leave the key out, or send null or text"
    elif kind is int:
        if value not in INTEGERS:
            return "a whole number beyond 64 bits: send it as text"
    elif kind not in _PLAIN:
        return f"expected a JSON value, got a {kind.__name__}"
    return None


def _shown(key: Any) -> str:
    """A key as it can stand in a field's name, as much of it as a caller is shown."""
    text = key if key.__class__ is str else repr(key)
    return (
        text[: FIELD_CHARACTERS + 1].replace("\0", "␀").encode("utf-8", "backslashreplace").decode()
    )


def _unknown_type(got: Any) -> Violation:
    shown = "none" if got is None else repr(got[:60]) if got.__class__ is str else json_type(got)
    return Violation(
        "type", "UNKNOWN_TYPE", f"expected one of {', '.join(EVENT_TYPES)}, got {shown}"
    )
