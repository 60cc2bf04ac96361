"""Every rule of `shapes.yaml`, each with a request that keeps it and one that breaks it. PURE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from cio_fake.http_messages import encode
from cio_fake.shapes import Endpoint, Limit, Shape, load

Path = tuple[str | int, ...]
_LACKS = object()
_PATTERN_EXAMPLES = ("1", "+14155552671")
_EXAMPLES: dict[str, Any] = {
    "any": "x",
    "string": "x",
    "identifier": "x",
    "name": "x",
    "boolean": True,
    "integer": 1,
    "string_or_integer": 1,
    "unix_seconds": 1696161600,
}
_TYPES = {
    "string": "a string",
    "identifier": "a string that is not empty",
    "name": "a string that is not blank",
    "boolean": "true or false",
    "integer": "a whole number",
    "string_or_integer": "a string or a whole number",
    "unix_seconds": "a whole number of Unix seconds",
    "object": "an object",
    "array": "an array",
}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule at one place."""

    where: str
    """The endpoint of v1, such as `PUT /api/v1/customers/{identifier}`, or the v2 operation."""
    field: str
    """The dotted path in the body; `{name}` for a segment of the path; empty for the whole."""
    text: str
    source: str
    method: str
    path: str
    """Of the requests, which differ in the body alone unless the rule is about the path."""
    good: bytes
    bad: bytes
    bad_path: str
    shown: str
    """What breaks the rule, in short."""
    says: str
    """What the fake says of that, among other words."""


def rules() -> Iterator[Rule]:
    """All rules in the order of the file: endpoints with their paths, then v2's operations."""
    shapes = load()
    for endpoint in shapes.endpoints.values():
        yield from _path_rules(endpoint)
        if endpoint.body is not None and endpoint.name != "entity":
            where = f"{endpoint.method} {endpoint.path}"
            path = _filled(endpoint, {})
            yield from _body_rules(where, endpoint.method, path, endpoint.body, endpoint.source)
    batch = shapes.limits["batch"]
    good = encode({"batch": [{}]})
    yield Rule(
        "POST /api/v2/batch", "", _at_most(batch), batch.source, "POST", "/api/v2/batch", good,
        good + b" " * batch.value, "/api/v2/batch", _over(batch), _allowed(batch),
    )  # fmt: skip
    for kind, actions in shapes.operations.items():
        for action, shape in actions.items():
            where = f"v2 {kind} {action}"
            yield from _choice_rules(where, shape, {"type": shapes.operations, "action": actions})
            yield from _body_rules(where, "POST", "/api/v2/entity", shape, shape.source)


def _choice_rules(where: str, shape: Shape, choices: Mapping[str, Iterable[str]]) -> Iterator[Rule]:
    """What says which operation it is; all else that is asked of these two follows from that."""
    good = _example(shape)
    for field, among in choices.items():
        text = f"one of {', '.join(among)}"
        source = (shape.fields or {})[field].source
        for bad, shown in ((_LACKS, "its absence"), ("other", '`"other"`')):
            yield Rule(
                where, field, f"is {text}", source, "POST", "/api/v2/entity", encode(good),
                encode(_put(good, (field,), bad)), "/api/v2/entity", shown, f"must be {text}",
            )  # fmt: skip


def _path_rules(endpoint: Endpoint) -> Iterator[Rule]:
    good_path = _filled(endpoint, {})
    good = encode(_example(endpoint.body)) if endpoint.body is not None else b""
    for name, shape in load().parameters.items():
        if f"{{{name}}}" not in endpoint.path:
            continue
        # A person in the path is an id unless it looks like something else.
        shape = (shape.fields or {})["id"] if name == "identifier" else shape  # noqa: PLW2901
        for each in _value_rules(shape):
            if isinstance(each.bad, str) and each.bad:
                yield Rule(
                    f"{endpoint.method} {endpoint.path}", f"{{{name}}}", each.text,
                    each.source or shape.source, endpoint.method, good_path, good, good,
                    _filled(endpoint, {name: each.bad}), each.shown, each.says,
                )  # fmt: skip


def _body_rules(where: str, method: str, path: str, root: Shape, source: str) -> Iterator[Rule]:
    for at, shape, parent in _walk(root, (), None):
        if where.startswith("v2 ") and at in (("type",), ("action",)):
            continue  # see _choice_rules
        # What may not be there at all can't be part of a good request.
        good = _example(root, at[:-1] if shape.reject else at)
        inherited = shape.source or (parent.source if parent else "") or source
        for each in _all_rules(shape):
            value = each.bad(_get(good, at)) if callable(each.bad) else each.bad
            yield Rule(
                where, _dotted(at), each.text, each.source or inherited, method, path, encode(good),
                encode(_put(good, at, value)), path, each.shown,
                # Of the body as a whole the fake says it in words of its own.
                each.says if at else each.says.replace("must be an object", "object"),
            )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Each:
    """A rule of a shape, wherever that stands."""

    text: str
    bad: Any
    """A value that breaks it, or what makes one of a good one."""
    shown: str
    says: str
    source: str = ""
    """Where it isn't the shape's."""


def _all_rules(shape: Shape) -> Iterator[_Each]:
    if shape.reject:
        yield _Each(shape.reject, "x", "its presence", shape.reject)
        return
    if shape.required:
        yield _Each("is required", _LACKS, "its absence", "is required")
    yield from _value_rules(shape)
    if shape.closed:
        bad = _with("unknown_key", 1)
        yield _Each("no other keys", bad, '`"unknown_key": 1`', "is not a key of this request")
    if shape.choose:
        groups = ", ".join(" with ".join(sorted(group)) for group in shape.choose)
        bad = _without(frozenset().union(*shape.choose))
        yield _Each(f"holds exactly one of: {groups}", bad, "none of them", "must hold exactly one")
    if shape.any_of:
        bad = _without(frozenset(path.split(".")[0] for path in shape.any_of))
        says = f"or {shape.any_of[1]} is required"
        yield _Each(f"holds {' or '.join(shape.any_of)}", bad, "none of them", says)
    if shape.attributes:
        limits = load().limits
        name, value = limits["attribute_name"], limits["attribute_value"]
        count = limits["attributes"]
        many = {f"a{number}": 1 for number in range(count.value + 1)}
        yield _limited(name, _with("n" * (name.value + 1), 1), "names: ")
        yield _limited(value, _with("v", "x" * (value.value + 1)), "values: ")
        yield _limited(count, lambda good: {**good, **many}, "attributes: ")


def _value_rules(shape: Shape) -> Iterator[_Each]:
    if shape.type != "any":
        called = f"{_TYPES[shape.type]}{' or null' if shape.nullable else ''}"
        bad: Any = {} if shape.type == "array" else []
        yield _Each(f"is {called}", bad, f"`{encode(bad).decode()}`", f"must be {called}")
    if shape.one_of:
        among = f"one of {', '.join(shape.one_of)}"
        yield _Each(f"is {among}", "other", '`"other"`', f"must be {among}")
    if shape.pattern:
        says = f"must match {shape.pattern.pattern}"
        yield _Each(f"matches `{shape.pattern.pattern}`", "no!", '`"no!"`', says)
    if shape.nonempty:
        yield _Each("is not empty", [], "`[]`", "must not be empty")
    if shape.limit:
        large = "x" * (shape.limit.value + 1)
        if shape.type == "array":
            yield _limited(shape.limit, ["x"] * (shape.limit.value + 1))
        else:
            yield _limited(shape.limit, _with("large", large) if shape.type == "object" else large)


def _limited(limit: Limit, bad: Any, what: str = "") -> _Each:
    return _Each(f"{what}{_at_most(limit)}", bad, _over(limit), _allowed(limit), limit.source)


def _walk(
    shape: Shape, at: Path, parent: Shape | None
) -> Iterator[tuple[Path, Shape, Shape | None]]:
    yield at, shape, parent
    for name, inner in (shape.fields or {}).items():
        yield from _walk(inner, (*at, name), shape)
    if shape.others is not None and shape.others.type != "any":
        yield from _walk(shape.others, (*at, "other"), shape)
    if shape.items is not None and shape.items.type != "any":
        yield from _walk(shape.items, (*at, 0), shape)


def _example(shape: Shape, at: Path = ()) -> Any:
    """The least value that a shape takes and that has something at a place."""
    if shape.type == "array":
        inner = shape.items
        return [_example(inner, at[1:])] if inner and (at or shape.nonempty) else []
    if shape.type != "object":
        if shape.pattern:
            return next(text for text in _PATTERN_EXAMPLES if shape.pattern.fullmatch(text))
        return shape.one_of[0] if shape.one_of else _EXAMPLES[shape.type]
    fields = shape.fields or {}
    names = [name for name, inner in fields.items() if inner.required]
    if shape.choose:
        names += next((group for group in shape.choose if at and at[0] in group), shape.choose[0])
    if shape.any_of:
        names.append(shape.any_of[0])
    if at and at[0] in fields and at[0] not in names:
        names.append(str(at[0]))
    made = {name: _example(fields[name], at[1:] if at and at[0] == name else ()) for name in names}
    if at and at[0] not in fields and shape.others is not None:
        made[str(at[0])] = _example(shape.others, at[1:])
    return made


def _filled(endpoint: Endpoint, segments: dict[str, str]) -> str:
    path = endpoint.path
    for name in load().parameters:
        path = path.replace(f"{{{name}}}", segments.get(name, "1"))
    return path


def _get(value: Any, at: Path) -> Any:
    for step in at:
        value = value[step]
    return value


def _put(value: Any, at: Path, new: Any) -> Any:
    """A copy of a value with another one at a place, or none."""
    if not at:
        return new
    made = deepcopy(value)
    holder = _get(made, at[:-1])
    if new is _LACKS:
        del holder[at[-1]]
    else:
        holder[at[-1]] = new
    return made


def _with(name: str, value: Any) -> Callable[[Any], Any]:
    return lambda good: {**good, name: value}


def _without(names: frozenset[str]) -> Callable[[Any], Any]:
    return lambda good: {name: value for name, value in good.items() if name not in names}


def _dotted(at: Path) -> str:
    text = ""
    for step in at:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text.removeprefix(".")


def _at_most(limit: Limit) -> str:
    return f"at most {limit.value:,} {limit.unit}"


def _over(limit: Limit) -> str:
    return f"more than {limit.value:,} {limit.unit}"


def _allowed(limit: Limit) -> str:
    return f"at most {limit.value:,} are allowed"
