"""Allow and deny lists: which keys of traits and properties are copied."""

from collections.abc import Callable, Iterable
from typing import Any

from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.paths import split_path

Selection = Callable[[dict[str, Any]], dict[str, Any]]
_Tree = dict[str, Any]


def selections(options: MappingOptions) -> dict[str, Selection]:
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
    allowed, denied = _tree(allow), _tree(deny)

    def select(value: dict[str, Any]) -> dict[str, Any]:
        return _without(_only(value, allowed) if allowed else value, denied)

    return select


def _tree(paths: Iterable[str]) -> _Tree:
    """Paths by their first keys. An empty tree ends a path, and takes in longer ones."""
    tree: _Tree = {}
    for path in sorted(map(split_path, paths), key=len, reverse=True):
        inner = tree
        for key in path[:-1]:
            inner = inner.setdefault(key, {})
        inner[path[-1]] = {}
    return tree


def _only(value: dict[str, Any], tree: _Tree) -> dict[str, Any]:
    """What is at the paths, in the order of the object."""
    kept: dict[str, Any] = {}
    for key, item in value.items():
        rest = tree.get(key)
        if rest is None:
            continue
        if not rest:
            kept[key] = item
        elif item.__class__ is dict and (inner := _only(item, rest)):
            kept[key] = inner
    return kept


def _without(value: dict[str, Any], tree: _Tree) -> dict[str, Any]:
    """The object without what is at the paths; the caller's own is not changed."""
    if tree.keys().isdisjoint(value):
        return value
    # One copy for all paths: each copy of a large object takes long.
    kept: dict[str, Any] = {}
    for key, item in value.items():
        rest = tree.get(key)
        if rest is None:
            kept[key] = item
        elif rest:
            kept[key] = _without(item, rest) if item.__class__ is dict else item
    return kept
