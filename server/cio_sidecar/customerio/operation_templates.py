"""Encodes operations by the templates of operations.yaml, and makes their v1 requests."""

import re
from collections.abc import Collection, Mapping
from typing import Any, Final
from urllib.parse import quote

import orjson

from cio_sidecar import compact_json
from cio_sidecar.customerio.encoders import JOINED, V1_ONLY, Encoded, Operation, identifiers
from cio_sidecar.customerio.http_request import Request
from cio_sidecar.customerio.limits import (
    ATTRIBUTES_BYTES,
    BESIDE_BYTES,
    OPERATION_BYTES,
    PERSON_ID_BYTES,
    SECONDS,
    Problem,
    check_attributes,
    check_person,
    check_size,
)
from cio_sidecar.customerio.truncate import cut_attributes
from cio_sidecar.operations import V1, Key, Spec

_ABSENT: Final = object()
_PLACE: Final = re.compile(r"\{([a-z_.]+)\}")
_DIGITS: Final = re.compile("[1-9][0-9]*")
_WORDS: Final = {
    "id": "text",
    "text": "text",
    "seconds": "whole Unix seconds",
    "scalar": "text or a whole number",
    "object": "an object",
    "texts": "an object of texts",
    "attributes": "an object",
}


def encode(spec: Spec, fields: dict[str, Any], *, keep: Collection[str] | None = None) -> Encoded:
    """Encode an operation out of the values of its keys; null counts as none.

    With ``keep`` attributes that are over a limit are cut, as identify() does.
    """
    problems: list[Problem] = []
    changes: list[Problem] = []
    values: dict[str, Any] = {}
    for name, key in spec.keys.items():
        value = fields.get(name)
        if value is None:
            if key.required:
                what = f"Customer.io needs the {name}"
                problems.append(Problem(name, "REQUIRED", what))
            continue
        if keep is not None and key.type == "attributes" and value.__class__ is dict:
            value, cut = cut_attributes(value, keep)
            changes += _below(name, cut)
        problems += _problems(name, key, value)
        for inner, allowed in key.only.items():
            if value.__class__ is dict and value.get(inner, allowed[0]) not in allowed:
                value = {other: item for other, item in value.items() if other != inner}
                what = f"left out: expected {' or '.join(allowed)}"
                changes.append(Problem(f"{name}.{inner}", "INVALID_VALUE", what))
        values[name] = value
    if spec.differ and not problems and _are_same(*(values[name] for name in spec.differ)):
        first, second = spec.differ
        what = f"{first} and {second} are the same: give two that differ"
        problems.append(Problem(second, "INVALID_VALUE", what))
    if problems:
        return Encoded((), problems, changes)
    persons = {
        name: identifiers(value)
        for name, value in values.items()
        if spec.keys[name].type == "person"
    }
    item = compact_json.dumps(_fill(spec.v2, {**values, **persons}))
    marks = 0
    if len(item) > OPERATION_BYTES:
        if spec.v1 == "entity":
            largest = max(values, key=lambda name: len(orjson.dumps(values[name])))
            problems = check_size(largest, len(item), OPERATION_BYTES, "the operation has ")
            return Encoded((), problems, changes)
        marks = V1_ONLY
    if not all(_holds(wanted, values.get(name)) for name, wanted in spec.v2_only_if.items()):
        marks = V1_ONLY
    beside = b""
    if extra := {name: values[name] for name in spec.beside if name in values}:
        beside = compact_json.dumps(extra)
        if len(beside) > BESIDE_BYTES:
            largest = max(extra, key=lambda name: len(orjson.dumps(extra[name])))
            problems = check_size(largest, len(beside), BESIDE_BYTES)
            return Encoded((), problems, changes)
    return Encoded((Operation(_lane(spec, values), item, marks, beside),), [], changes)


def v1_request(template: V1, source: Mapping[str, Any]) -> Request:
    """The v1 request of an operation; ``source`` is its v2 item, and what stands beside it."""
    path = _PLACE.sub(lambda match: path_segment(_at(source, match[1])), template.path)
    body = b"" if template.body is None else orjson.dumps(_fill(template.body, source))
    return Request(template.method, path, body)


def path_segment(value: str | dict[str, str]) -> str:
    """A value as a segment of a path, percent-encoded whole; identifiers as v1 tells them apart."""
    if isinstance(value, dict):
        ((kind, text),) = value.items()
        value = f"cio_{text}" if kind == "cio_id" else text
    return quote(value, safe="")


def _problems(name: str, key: Key, value: Any) -> list[Problem]:
    """What Customer.io would not take of a key's value."""
    if key.type == "person":
        return check_person(name, value)
    if not _has_type(key, value):
        what = f"expected {_WORDS[key.type]}, got {value.__class__.__name__}"
        return [Problem(name, "WRONG_TYPE", f"{what}: add a transform to the row")]
    if key.one_of and value not in key.one_of:
        what = f"expected one of {', '.join(key.one_of)}"
        return [Problem(name, "INVALID_VALUE", what)]
    if key.digits and not _DIGITS.fullmatch(value):
        what = "expected a whole number from 1, in digits"
        return [Problem(name, "INVALID_VALUE", what)]
    if key.type == "text" and value in (".", ".."):
        # Not even percent-encoding keeps these from meaning a folder in a path.
        return [Problem(name, "INVALID_VALUE", f"{value!r} is no {name}: use another")]
    if key.type == "id":
        return check_size(name, len(value.encode()), PERSON_ID_BYTES)
    if key.type == "attributes":
        size = len(orjson.dumps(value))
        return [
            *_below(name, check_attributes(value)),
            *(check_size(name, size, ATTRIBUTES_BYTES) if size > ATTRIBUTES_BYTES else ()),
        ]
    return []


def _has_type(key: Key, value: Any) -> bool:
    if key.type in ("object", "attributes"):
        return value.__class__ is dict
    if key.type == "texts":
        return value.__class__ is dict and all(v.__class__ is str for v in value.values())
    if key.type == "seconds":
        return value.__class__ is int and value in SECONDS
    if key.type == "scalar" and value.__class__ is int:
        return True
    return value.__class__ is str and bool(value.strip())


def _are_same(first: str, second: str) -> bool:
    """Whether two people are one: email addresses are so in any case."""
    if "email" in identifiers(first):
        first, second = first.lower(), second.lower()
    return first == second


def _below(name: str, problems: list[Problem]) -> list[Problem]:
    """Problems of attributes, named by the key that holds them."""
    return [problem._replace(key=f"{name}.{problem.key}") for problem in problems]


def _holds(wanted: tuple[str, ...] | bool, value: Any) -> bool:
    return value is not None if isinstance(wanted, bool) else value in wanted


def _lane(spec: Spec, values: dict[str, Any]) -> str:
    """Whose operations are kept in order."""
    lane = _lane_of(spec, spec.lane, values)
    return f"{lane}{JOINED}{_lane_of(spec, spec.joins, values)}" if spec.joins else lane


def _lane_of(spec: Spec, name: str, values: dict[str, Any]) -> str:
    value = values[name]
    if spec.keys[name].type == "person":
        return f"p:{value}"
    if name == "object_id":
        return f"o:{values['object_type_id']}:{value}"
    return f"{name[0]}:{value}"


def _fill(template: Any, source: Mapping[str, Any]) -> Any:
    """A template with its ``$`` replaced; what has no value is left out."""
    if isinstance(template, str):
        return _at(source, template[1:]) if template.startswith("$") else template
    if isinstance(template, list):
        return [_fill(item, source) for item in template]
    filled = {key: _fill(item, source) for key, item in template.items()}
    return {key: item for key, item in filled.items() if item is not _ABSENT}


def _at(source: Mapping[str, Any], path: str) -> Any:
    value: Any = source
    for key in path.split("."):
        if key not in value:
            return _ABSENT
        value = value[key]
    return value
