"""Holds a JSON value against a shape and says all that is wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from cio_fake.http_messages import Problem, encode
from cio_fake.shapes import Limit, Shape, load

# Seconds in the year 5138; a value in milliseconds is beyond it from March 1973 on.
_SECONDS_START = -62_135_596_800  # the year 1
_SECONDS_END = 10**11


def _is_string(value: Any) -> bool:
    return isinstance(value, str)


def _is_identifier(value: Any) -> bool:
    return isinstance(value, str) and value != ""


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != ""


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_seconds(value: Any) -> bool:
    return _is_integer(value) and _SECONDS_START <= value < _SECONDS_END


# A type's name → (its test, what a message calls it).
_TYPES: Mapping[str, tuple[Callable[[Any], bool], str]] = {
    "any": (lambda _: True, "any value"),
    "string": (_is_string, "a string"),
    "identifier": (_is_identifier, "a string that is not empty"),
    "name": (_is_name, "a string that is not blank"),
    "boolean": (lambda value: isinstance(value, bool), "true or false"),
    "integer": (_is_integer, "a whole number"),
    "string_or_integer": (
        lambda value: _is_string(value) or _is_integer(value),
        "a string or a whole number",
    ),
    "unix_seconds": (_is_seconds, "a whole number of Unix seconds"),
    "object": (lambda value: isinstance(value, dict), "an object"),
    "array": (lambda value: isinstance(value, list), "an array"),
}


def check(value: Any, shape: Shape, field: str = "") -> Iterator[Problem]:
    """Yield what is wrong with a value; `field` is its dotted path.

    A value of the wrong type is not looked into further.
    """
    if shape.reject:
        yield Problem("invalid", field, shape.reject)
        return
    if value is None and shape.nullable:
        return
    fits, called = _TYPES[shape.type]
    if not fits(value):
        reason = "required" if shape.required and value in (None, "") else "invalid"
        yield Problem(reason, field, f"must be {called}{' or null' if shape.nullable else ''}")
        return
    if shape.one_of and value not in shape.one_of:
        yield Problem("invalid", field, f"must be one of {', '.join(shape.one_of)}")
    if shape.pattern and not shape.pattern.fullmatch(value):
        yield Problem("invalid", field, f"must match {shape.pattern.pattern}")
    if shape.nonempty and not value:
        yield Problem("required", field, "must not be empty")
    if shape.limit:
        # Customer.io trims a name before it looks at it.
        measured = value.strip() if shape.type == "name" else value
        yield from check_size(measured, shape.limit, field)
    if shape.type == "object":
        yield from _check_object(value, shape, field)
    elif shape.items:
        for index, item in enumerate(value):
            yield from check(item, shape.items, f"{field}[{index}]")


def check_size(value: Any, limit: Limit, field: str) -> Iterator[Problem]:
    """Yield a problem when a value is larger than a limit."""
    size = len(value) if limit.unit == "items" else size_of(value)
    if size > limit.value:
        yield Problem(
            "too_large", field, f"is {size:,} {limit.unit}; at most {limit.value:,} are allowed"
        )


def size_of(value: Any) -> int:
    """Bytes of a value: raw bytes as they are, a string's UTF-8, anything else's compact JSON."""
    if isinstance(value, str):
        value = value.encode("utf-8")
    return len(value if isinstance(value, bytes) else encode(value))


def _check_object(value: dict[str, Any], shape: Shape, field: str) -> Iterator[Problem]:
    prefix = f"{field}." if field else ""
    fields = shape.fields or {}
    for name, inner in fields.items():
        if name in value:
            yield from check(value[name], inner, prefix + name)
        elif inner.required:
            yield Problem("required", prefix + name, "is required")
    for name in value if shape.closed or shape.others else ():
        if name in fields:
            continue
        if shape.others:
            yield from check(value[name], shape.others, prefix + name)
        else:
            yield Problem("unknown", prefix + name, "is not a key of this request")
    if shape.choose:
        yield from _check_choice(value, shape, field)
    if shape.any_of and not any(_at(value, path) for path in shape.any_of):
        yield Problem("required", prefix + shape.any_of[0], f"or {shape.any_of[1]} is required")
    if shape.attributes:
        yield from _check_attributes(value, fields, field)


def _check_choice(value: dict[str, Any], shape: Shape, field: str) -> Iterator[Problem]:
    present = value.keys() & frozenset().union(*shape.choose)
    if present not in shape.choose:
        groups = ", ".join(" with ".join(sorted(group)) for group in shape.choose)
        yield Problem(
            "invalid" if present else "required", field, f"must hold exactly one of: {groups}"
        )


def _check_attributes(
    value: dict[str, Any], fields: Mapping[str, Shape], field: str
) -> Iterator[Problem]:
    limits = load().limits
    prefix = f"{field}." if field else ""
    names = [name for name in value if not (name in fields and fields[name].control)]
    yield from check_size(names, limits["attributes"], field)
    for name in names:
        yield from check_size(name, limits["attribute_name"], prefix + name)
        yield from check_size(value[name], limits["attribute_value"], prefix + name)


def _at(value: Any, path: str) -> Any:
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
