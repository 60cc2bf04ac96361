"""Allow and deny lists: which keys of traits and properties are copied."""

from collections.abc import Callable, Iterable
from typing import Any

from cio_sidecar.mapping.options import Options
from cio_sidecar.mapping.table import split_path

Selection = Callable[[dict[str, Any]], dict[str, Any]]


def selections(options: Options) -> dict[str, Selection]:
    """What an object passes through before it is copied, by its path in the event."""
    found: dict[str, Selection] = {}
    for paths, allow, deny in (
        (("traits", "context.traits"), options.allow_traits, options.deny_traits),
        (("properties",), options.allow_properties, options.deny_properties),
    ):
        if allow or deny:
            found |= dict.fromkeys(paths, _selection(allow, deny))
    return found


def _selection(allow: Iterable[str], deny: Iterable[str]) -> Selection:
    allowed = [split_path(path) for path in allow]
    paths = [split_path(path) for path in deny]
    denied_keys = frozenset(path[0] for path in paths if len(path) == 1)
    denied = [path for path in paths if len(path) > 1]

    def select(value: dict[str, Any]) -> dict[str, Any]:
        if allowed:
            value = _only(value, allowed)
        # At once: each copy of a large object takes long.
        if not denied_keys.isdisjoint(value):
            value = {key: item for key, item in value.items() if key not in denied_keys}
        for path in denied:
            value = _without(value, path)
        return value

    return select


def _only(value: dict[str, Any], paths: Iterable[tuple[str, ...]]) -> dict[str, Any]:
    """What stands at the paths, in the order of the object."""
    below: dict[str, list[tuple[str, ...]]] = {}
    for first, *rest in paths:
        below.setdefault(first, []).append(tuple(rest))
    kept: dict[str, Any] = {}
    for key, item in value.items():
        rests = below.get(key)
        if rests is None:
            continue
        if () in rests:
            kept[key] = item
        elif item.__class__ is dict and (inner := _only(item, rests)):
            kept[key] = inner
    return kept


def _without(value: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """The object without what stands at a path; the caller's own is not changed."""
    first, *rest = path
    if first not in value:
        return value
    if not rest:
        return {key: item for key, item in value.items() if key != first}
    inner = value[first]
    if inner.__class__ is not dict:
        return value
    return {**value, first: _without(inner, tuple(rest))}
