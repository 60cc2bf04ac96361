"""Reads `shapes.yaml`: the Track API's limits, endpoints and operations as frozen values."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml


@dataclass(frozen=True, slots=True)
class Limit:
    """The most that the API takes of something."""

    name: str
    value: int
    unit: str
    """`bytes` or `items`."""
    source: str
    """Endpoint and field of the Track API that it comes from, in words."""


@dataclass(frozen=True, slots=True)
class Shape:
    """What a JSON value must look like; the head of `shapes.yaml` explains each key."""

    type: str
    source: str = ""
    required: bool = False
    nullable: bool = False
    nonempty: bool = False
    one_of: tuple[str, ...] = ()
    pattern: re.Pattern[str] | None = None
    limit: Limit | None = None
    fields: Mapping[str, Shape] | None = None
    others: Shape | None = None
    items: Shape | None = None
    choose: tuple[frozenset[str], ...] = ()
    any_of: tuple[str, ...] = ()
    attributes: bool = False
    control: bool = False
    reject: str = ""

    @property
    def closed(self) -> bool:
        """Whether keys that `fields` doesn't name are rejected."""
        return self.fields is not None and self.others is None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A method and path of the API."""

    name: str
    method: str
    path: str
    """A template: `{identifier}` stands for one segment."""
    source: str
    auth: bool = True
    success: int = 200
    errors: str = "list"
    """The form of a 400: `list`, `single` or `fields`."""
    body: Shape | None = None
    """None: the endpoint takes no body, and what comes is ignored."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """The whole of `shapes.yaml`."""

    limits: dict[str, Limit]
    endpoints: dict[str, Endpoint]
    parameters: dict[str, Shape]
    operations: dict[str, dict[str, Shape]]
    """By type, then action."""


@cache
def load() -> Shapes:
    """Read the shapes that ship with this package; once a process.

    Raises:
        TypeError, KeyError: the file has a key that a shape doesn't know, or lacks one.
    """
    text = files(__package__).joinpath("shapes.yaml").read_text("utf-8")
    data = yaml.safe_load(text)
    limits = {name: Limit(name=name, **raw) for name, raw in data["limits"].items()}
    return Shapes(
        limits=limits,
        endpoints={name: _endpoint(name, raw, limits) for name, raw in data["endpoints"].items()},
        parameters=_shapes(data["parameters"], limits),
        operations={
            kind: {action: _operation(kind, action, raw, limits) for action, raw in actions.items()}
            for kind, actions in data["operations"].items()
        },
    )


def fields_with_source(shape: Shape, prefix: str = "") -> Iterator[tuple[str, Shape]]:
    """Walk all named fields under a shape as (dotted path, shape), for tables and tests."""
    for name, inner in (shape.fields or {}).items():
        path = f"{prefix}{name}"
        yield path, inner
        yield from fields_with_source(inner, f"{path}.")
    if shape.items is not None:
        yield from fields_with_source(shape.items, prefix)


def _endpoint(name: str, raw: dict[str, Any], limits: Mapping[str, Limit]) -> Endpoint:
    body = raw.pop("body", None)
    return Endpoint(name=name, body=None if body is None else _shape(body, limits), **raw)


def _operation(kind: str, action: str, raw: dict[str, Any], limits: Mapping[str, Limit]) -> Shape:
    head = {
        "type": Shape(type="string", required=True, one_of=(kind,), source="v2 operations, type"),
        "action": Shape(
            type="string", required=True, one_of=(action,), source="v2 operations, action"
        ),
    }
    return Shape(
        type="object",
        source=f"v2 {kind} {action}",
        limit=limits["operation"],
        fields={**head, **_shapes(raw, limits)},
    )


def _shapes(raw: dict[str, Any], limits: Mapping[str, Limit]) -> dict[str, Shape]:
    return {name: _shape(inner, limits) for name, inner in raw.items()}


def _shape(raw: dict[str, Any], limits: Mapping[str, Limit]) -> Shape:
    raw = dict(raw)  # an anchor of the YAML is one dict in many places
    if "limit" in raw:
        raw["limit"] = limits[raw["limit"]]
    if "pattern" in raw:
        raw["pattern"] = re.compile(raw["pattern"])
    if "fields" in raw:
        raw["fields"] = _shapes(raw["fields"], limits)
    for key in ("others", "items"):
        if key in raw:
            raw[key] = _shape(raw[key], limits)
    raw["choose"] = tuple(frozenset(group) for group in raw.get("choose", ()))
    raw["one_of"] = tuple(raw.get("one_of", ()))
    raw["any_of"] = tuple(raw.get("any_of", ()))
    return Shape(**raw)
