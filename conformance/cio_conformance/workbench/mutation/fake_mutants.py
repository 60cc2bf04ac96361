"""Mutants of the fake's rules (shapes.yaml), and the cases that tell of them.

A shape that stands in several places by an anchor is one rule, named by the first of them: of v2's
operations, else of the endpoints, else of the paths' parameters.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

from cio_fake.shapes import Endpoint, Limit, Shape, Shapes, load

PREFIX: Final = "fake: "
"""Every mutant's name begins with it."""

_LOOSER: Final = {"identifier": "string", "name": "identifier", "unix_seconds": "integer"}
"""What a type is without its last condition."""


@dataclass(frozen=True, slots=True)
class FakeMutant:
    """A change of one rule of the fake."""

    name: str
    shapes: Shapes
    """All shapes, with the change."""

    @contextmanager
    def active(self) -> Iterator[None]:
        """The changed shapes, in place of those that the fake goes by."""
        own = load()
        kept = _parts(own)
        _put(own, _parts(self.shapes))
        try:
            yield
        finally:
            _put(own, kept)


def fake_mutants() -> list[FakeMutant]:
    """Every mutant of the fake's rules."""
    shapes = load()
    changes = (_of_shapes, _of_endpoints, _of_operations, _of_limits)
    return [
        FakeMutant(f"{PREFIX}{what}", mutated)
        for change in changes
        for what, mutated in change(shapes)
    ]


def _of_shapes(shapes: Shapes) -> Iterator[tuple[str, Shapes]]:
    wholes = [shape for actions in shapes.operations.values() for shape in actions.values()]
    # Which operation it is, and that it is an object, is found out before the shape is looked at.
    seen = [shape.fields[key] for shape in wholes if shape.fields for key in ("type", "action")]
    wholes += [endpoint.body for endpoint in shapes.endpoints.values() if endpoint.body]
    for where, shape in _places(shapes):
        if shape in seen:
            continue
        seen.append(shape)
        for what, changed in _shape_changes(shape):
            if changed.type == shape.type or shape not in wholes:
                yield f"{where}: {what}", _each_shape(shapes, _swap(shape, changed))


def _of_endpoints(shapes: Shapes) -> Iterator[tuple[str, Shapes]]:
    for name, endpoint in shapes.endpoints.items():
        for what, other in _endpoint_changes(endpoint):
            rest = {key: each for key, each in shapes.endpoints.items() if key != name}
            endpoints = {**rest, name: other} if other else rest
            yield f"{name}: {what}", replace(shapes, endpoints=endpoints)


def _of_operations(shapes: Shapes) -> Iterator[tuple[str, Shapes]]:
    for kind, actions in shapes.operations.items():
        for action in actions:
            fewer = {key: each for key, each in actions.items() if key != action}
            operations = {**shapes.operations, kind: fewer}
            yield f"{kind} {action}: operation removed", replace(shapes, operations=operations)


def _of_limits(shapes: Shapes) -> Iterator[tuple[str, Shapes]]:
    for name, limit in shapes.limits.items():
        for sign, by in (("+", 1), ("-", -1)):
            moved = replace(limit, value=limit.value + by)
            mutated = _each_shape(shapes, _move(limit, moved))
            mutated = replace(mutated, limits={**shapes.limits, name: moved})
            yield f"limits: {name} {sign} 1", mutated


def _shape_changes(shape: Shape) -> Iterator[tuple[str, Shape]]:
    """Each rule of a shape left out, or made stricter where it allows something."""
    # The only strings allowed are all of that type.
    if shape.type != "any" and not shape.one_of:
        yield f"any instead of {shape.type}", replace(shape, type="any")
    if shape.type in _LOOSER:
        looser = _LOOSER[shape.type]
        yield f"{looser} instead of {shape.type}", replace(shape, type=looser)
    if shape.required:
        yield "required dropped", replace(shape, required=False)
    if shape.nullable:
        yield "null rejected", replace(shape, nullable=False)
    if shape.nonempty:
        yield "nonempty dropped", replace(shape, nonempty=False)
    if shape.one_of:
        yield "one_of dropped", replace(shape, one_of=())
    for value in shape.one_of if len(shape.one_of) > 1 else ():
        others = tuple(other for other in shape.one_of if other != value)
        yield f"one_of {value} rejected", replace(shape, one_of=others)
    if shape.pattern:
        yield "pattern dropped", replace(shape, pattern=None)
    if shape.limit:
        yield f"limit {shape.limit.name} dropped", replace(shape, limit=None)
    if shape.closed:
        yield "unknown keys taken", replace(shape, others=Shape(type="any"))
    elif shape.fields is not None:
        yield "unknown keys rejected", replace(shape, others=None)
    if shape.choose:
        yield "choose dropped", replace(shape, choose=())
    for group in shape.choose if len(shape.choose) > 1 else ():
        groups = tuple(other for other in shape.choose if other != group)
        what = " with ".join(sorted(group))
        yield f"choose {what} rejected", replace(shape, choose=groups)
    if shape.any_of:
        yield "any_of dropped", replace(shape, any_of=())
    for path in shape.any_of:
        paths = tuple(other if other != path else "no.such" for other in shape.any_of)
        yield f"any_of {path} rejected", replace(shape, any_of=paths)
    if shape.attributes:
        yield "attributes dropped", replace(shape, attributes=False)
    if shape.control:
        yield "control dropped", replace(shape, control=False)
    if shape.reject:
        yield "reject dropped", replace(shape, reject="")


def _endpoint_changes(endpoint: Endpoint) -> Iterator[tuple[str, Endpoint | None]]:
    yield "endpoint removed", None
    what = "auth dropped" if endpoint.auth else "auth asked for"
    yield what, replace(endpoint, auth=not endpoint.auth)
    success = 200 if endpoint.success == 204 else 204
    yield f"{success} instead of {endpoint.success}", replace(endpoint, success=success)
    form = "fields" if endpoint.errors == "list" else "list"
    if endpoint.body:
        yield f"errors as {form} instead of {endpoint.errors}", replace(endpoint, errors=form)


def _places(shapes: Shapes) -> Iterator[tuple[str, Shape]]:
    """Every shape with its place: ``person identify, identifiers.id``."""
    for kind, actions in shapes.operations.items():
        for action, shape in actions.items():
            yield from _below(f"{kind} {action}", shape)
    for name, endpoint in shapes.endpoints.items():
        if endpoint.body:
            yield from _below(name, endpoint.body)
    for name, shape in shapes.parameters.items():
        yield from _below(f"path {name}", shape)


def _below(head: str, shape: Shape, path: str = "") -> Iterator[tuple[str, Shape]]:
    yield f"{head}, {path}" if path else head, shape
    below = f"{path}." if path else ""
    for name, inner in (shape.fields or {}).items():
        yield from _below(head, inner, below + name)
    if shape.others:
        yield from _below(head, shape.others, f"{below}*")
    if shape.items:
        yield from _below(head, shape.items, f"{path}[]")


_Change = Callable[[Shape], Shape | None]
"""What stands in a shape's place; None: itself, with what is below it changed."""


def _swap(old: Shape, new: Shape) -> _Change:
    return lambda shape: new if shape == old else None


def _move(old: Limit, new: Limit) -> _Change:
    """Another limit in its place; what is below such a shape has none of the kind."""
    return lambda shape: replace(shape, limit=new) if shape.limit == old else None


def _each_shape(shapes: Shapes, change: _Change) -> Shapes:
    def all_of(held: Mapping[str, Shape]) -> dict[str, Shape]:
        return {name: _changed(shape, change) for name, shape in held.items()}

    return replace(
        shapes,
        endpoints={
            name: replace(each, body=_changed(each.body, change)) if each.body else each
            for name, each in shapes.endpoints.items()
        },
        parameters=all_of(shapes.parameters),
        operations={kind: all_of(actions) for kind, actions in shapes.operations.items()},
    )


def _changed(shape: Shape, change: _Change) -> Shape:
    if found := change(shape):
        return found
    fields = shape.fields
    return replace(
        shape,
        fields=fields and {name: _changed(inner, change) for name, inner in fields.items()},
        others=shape.others and _changed(shape.others, change),
        items=shape.items and _changed(shape.items, change),
    )


def _parts(shapes: Shapes) -> list[dict[str, Any]]:
    return [
        dict(shapes.limits),
        dict(shapes.endpoints),
        dict(shapes.parameters),
        dict(shapes.operations),
    ]


def _put(shapes: Shapes, parts: list[dict[str, Any]]) -> None:
    held: list[dict[str, Any]] = [
        shapes.limits,
        shapes.endpoints,
        shapes.parameters,
        shapes.operations,
    ]
    for part, new in zip(held, parts, strict=True):
        part.clear()
        part.update(new)
