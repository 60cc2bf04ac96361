"""Reads YAML by the 1.2 core schema and remembers the line of every value.

The core schema has no dates and no ``yes``/``no`` booleans: ``2026-03-02`` and ``no`` are text, as
an author of tables or fixtures expects.
"""

import re
from dataclasses import dataclass
from typing import Any, Final

import yaml

MAX_DEPTH: Final = 100
"""How deep a document may nest."""
MAX_VALUES: Final = 200_000
"""How many values a document may hold, when its aliases are written out."""
_KINDS: Final = ("null", "bool", "int", "float", "str", "seq", "map")
_TAGS: Final = (
    None,
    *(
        f"tag:yaml.org,2002:{kind}"
        for kind in ["null", "bool", "int", "float", "str", "seq", "map"]
    ),
)
_NO_TAGS: Final = "a tag (!…) means nothing here: put text that begins with ! in quotes"
_TOO_DEEP: Final = (
    f"nests deeper than {MAX_DEPTH} levels, or an alias (*) stands within its anchor (&)"
)

Location = tuple[str | int, ...]
"""Keys and indexes from the top of a document to a value."""


class YamlError(Exception):
    """The text is not YAML, or holds a key twice. ``line`` counts from 1."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line
        self.problem = problem


class _CoreLoader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """PyYAML's safe loader with the implicit types of YAML 1.2's core schema."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012


for _tag, _pattern, _first in (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+.0123456789"),
    ),
):
    _CoreLoader.add_implicit_resolver(
        f"tag:yaml.org,2002:{_tag}", re.compile(f"^(?:{_pattern})$"), _first
    )


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML document's value, and the line (from 1) of each value in it."""

    value: Any
    lines: dict[Location, int]

    def line(self, location: Location) -> int:
        """The line of a value, or of the nearest value around it."""
        while location not in self.lines:
            location = location[:-1]
        return self.lines[location]


def load(text: str) -> Document:
    """Read one document. Raises YamlError."""
    try:
        # Every tag begins with an exclamation mark: most texts need no look at their events.
        for event in yaml.parse(text, Loader=_CoreLoader) if "!" in text else ():
            if getattr(event, "tag", None) not in _TAGS:
                # Left alone, `when: ! has(…)` would mean has(…).
                mark = event.start_mark
                raise YamlError(mark.line + 1 if mark else 1, _NO_TAGS)
        node = yaml.compose(text, Loader=_CoreLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise YamlError(line, error.problem or "not YAML") from None
    except yaml.YAMLError as error:
        raise YamlError(1, str(error).splitlines()[0]) from None
    except RecursionError:
        raise YamlError(1, _TOO_DEEP) from None
    lines: dict[Location, int] = {(): 1}
    return Document(None if node is None else _value(node, (), lines), lines)


def _value(node: yaml.Node, at: Location, lines: dict[Location, int]) -> Any:
    lines[at] = node.start_mark.line + 1
    if len(at) > MAX_DEPTH:
        raise YamlError(lines[at], _TOO_DEEP)
    if len(lines) > MAX_VALUES:
        what = f"holds more than {MAX_VALUES:,} values, those of each alias (*) counted"
        raise YamlError(lines[at], what)
    if isinstance(node, yaml.MappingNode):
        mapping: dict[Any, Any] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                # Never shown: aliases may make it endless.
                raise YamlError(line, "a key must be text, not a list or an object")
            key = _scalar(key_node)
            if not isinstance(key, str):
                raise YamlError(line, f"a key must be text: quote {key_node.value!r:.60}")
            if key in mapping:
                raise YamlError(line, f"the key {key!r:.60} stands twice")
            mapping[key] = _value(value_node, (*at, key), lines)
            lines[(*at, key)] = line
        return mapping
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*at, index), lines) for index, item in enumerate(node.value)]
    return _scalar(node)


def _scalar(node: yaml.Node) -> Any:
    kind = node.tag.rpartition(":")[2]
    try:
        return _typed(kind, node.value)
    except ValueError:
        line = node.start_mark.line + 1
        raise YamlError(line, f"{node.value!r:.60} can't be read as {kind}") from None


def _typed(kind: str, text: str) -> Any:
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return int(text, 0) if text[:2] in ("0x", "0o") else int(text)
        case "float":
            return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))
    return text
