"""Compiles rows to a straight-line Python function, and conditions to one that chooses.

A function for rows takes ``(event, warnings)`` and returns the output; it interprets nothing but
the CEL expressions of a user's own rows. Its source is kept on it as ``__source__`` for people and
tests. A long function is compiled in parts, because ``compile()`` holds the GIL.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from types import CodeType
from typing import Any, Final

from cio_sidecar.mapping.errors import FieldWarning, Violation
from cio_sidecar.mapping.model import SPREAD, Input, Level, Row, When
from cio_sidecar.mapping.running.dates import dates_to_seconds
from cio_sidecar.mapping.running.expressions import Expression, compiled
from cio_sidecar.mapping.running.key_filter import selections
from cio_sidecar.mapping.running.transforms import ABSENT, TRANSFORMS, UNCHANGED, NoValue
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.paths import parents, split_path

Output = dict[str, Any]
Compiled = Callable[[dict[str, Any], list[FieldWarning]], Output]

MISSING: Final = "\0missing"
"""Key of the output under which the violations of required rows stand, if there are any. No row
can set it: a key of a table holds no null byte."""

MAX_PART_CHARACTERS: Final = 30_000
"""Characters of source after which a function is continued in another part."""


def compile_rows(name: str, rows: Iterable[Row], options: MappingOptions) -> Compiled:
    """Make the mapping function of rows, in their order."""
    function: Compiled = _Compiler(options).rows(name, tuple(rows))
    return function


def compile_attempt(
    name: str, rows: Iterable[Row], options: MappingOptions
) -> Callable[[dict[str, Any], list[FieldWarning]], Output | None]:
    """The same, but it returns None as soon as a required row gets no value."""
    return _Compiler(options, gives_up=True).rows(name, tuple(rows))


def compile_choice(name: str, choices: Sequence[tuple[When | None, Any]]) -> Callable[..., Any]:
    """Make the function that finds the first of the choices whose condition holds for an event.

    It takes the event alone, and returns None where none holds.
    """
    return _Compiler(MappingOptions()).choice(name, choices)


def missing(row: Row) -> Violation:
    """The violation of a required row that got no value, by its first input."""
    first = row.inputs[0] if row.inputs else Input()
    return Violation(
        field_of(first) or row.key,
        "REQUIRED",
        f"{row.name} is required and got no value: give {either(row.inputs)}",
    )


def either(inputs: Sequence[Input]) -> str:
    """The inputs' paths as an enumeration: "userId, traits.email or context.traits.email"."""
    named = [path for source in inputs for path in fields_of(source)]
    *paths, last = dict.fromkeys(named) or ["a value"]
    return f"{', '.join(paths)} or {last}" if paths else last


def fields_of(source: Input) -> tuple[str, ...]:
    """The fields of the event that an input speaks of."""
    if source.expr:
        return compiled(source.expr).paths
    return (source.path,) if source.path else ()


def field_of(source: Input) -> str:
    """The first of them; empty where it names none."""
    return next(iter(fields_of(source)), "")


def compile_condition(when: When) -> Callable[[dict[str, Any]], bool]:
    """Make the function that says whether a condition holds for an event."""
    chosen = compile_choice("condition", [(when, True)])
    return lambda event: chosen(event) is True


@lru_cache(maxsize=1024)
def _code(source: str, name: str) -> CodeType:
    """The bytecode of a source, which most sets of tables have in common: each has constants of its
    own.
    """
    return compile(source, name, "exec")


class _Compiler:
    """Writes the source of one function, and gathers the constants that it uses."""

    def __init__(self, options: MappingOptions, *, gives_up: bool = False) -> None:
        self.selected = selections(options)
        self.converts_dates = options.dates == "unix_seconds"
        self.gives_up = gives_up
        self.lines: list[str] = []
        self.size = 0
        self.parts: list[Callable[..., Any]] = []
        self.constants: dict[str, Any] = {
            "ABSENT": ABSENT,
            "NoValue": NoValue,
            "FieldWarning": FieldWarning,
            "MISSING": MISSING,
            **{f"t_{transform}": function for transform, function in TRANSFORMS.items()},
        }

    def rows(self, name: str, rows: tuple[Row, ...]) -> Callable[..., Any]:
        self._line(0, "def function(event, warnings):")
        self._line(1, "out = {}")
        self.spreads_top = any(row.key == SPREAD for row in rows)
        holders = {parent for row in rows for parent in parents(row.key)}
        for row in rows:
            if self.size > MAX_PART_CHARACTERS:
                self._line(1, "return out")
                self._end_part(f"mapping of {name}")
                self._line(0, "def function(event, warnings, out):")
            # Escaped: a line break in a name must not end the comment.
            self._line(1, ascii(f"# {row.name}")[1:-1])
            depth = 1
            if row.when:
                depth = self._when(1, row.when)
            self._row(depth, row, has_children=row.key in holders)
        self._line(1, "return out")
        self._end_part(f"mapping of {name}")
        return _mapping(self.parts)

    def choice(self, name: str, choices: Sequence[tuple[When | None, Any]]) -> Callable[..., Any]:
        self._line(0, "def function(event):")
        pending = list(choices)
        while pending:
            if self.size > MAX_PART_CHARACTERS:
                self._end_part(f"choice for {name}")
                self._line(0, "def function(event):")
            when, _ = pending[0]
            path = _single_path(when)
            if path is None:
                _, chosen = pending.pop(0)
                depth = self._when(1, when) if when else 1
                self._line(depth, f"return {self._constant(chosen)}")
                continue
            # Conditions on the same text, one after the other, are one look into a dict.
            table: dict[str, Any] = {}
            while pending and _single_path(pending[0][0]) == path:
                found, chosen = pending.pop(0)
                for value in found.values[0][1] if found else ():
                    table.setdefault(str(value), chosen)
            self._read(1, path)
            self._line(1, "if v.__class__ is str:")
            self._line(2, f"p = {self._constant(table)}.get(v)")
            self._line(2, "if p is not None:")
            self._line(3, "return p")
        self._line(1, "return None")
        self._end_part(f"choice for {name}")
        return _choice(self.parts)

    def _end_part(self, name: str) -> None:
        """Compile the lines so far to a function of its own."""
        source = "\n".join(self.lines) + "\n"
        self.lines = []
        self.size = 0
        shown = ascii(name)[1:-1]
        exec(_code(source, f"<{shown}>"), self.constants)  # noqa: S102
        function: Callable[..., Any] = self.constants["function"]
        function.__source__ = source  # type: ignore[attr-defined]
        self.parts.append(function)

    def _when(self, depth: int, when: When) -> int:
        """Open a block that runs where the condition holds; returns its depth."""
        if when.expr:
            condition = self._constant(_condition(when.expr))
            self._line(depth, f"if {condition}(event):")
            return depth + 1
        for path, values in when.values:
            self._read(depth, path)
            allowed = self._constant(frozenset((value.__class__, value) for value in values))
            kinds = self._constant(frozenset(value.__class__ for value in values))
            self._line(depth, f"if v.__class__ in {kinds} and (v.__class__, v) in {allowed}:")
            depth += 1
        return depth

    def _row(self, depth: int, row: Row, *, has_children: bool) -> None:
        if not row.inputs:
            self._set(depth, row, repr(row.value), has_children=False)
            return
        several = len(row.inputs) > 1
        inner = depth
        for index, source in enumerate(row.inputs):
            if index:
                self._line(inner, "if v is None or v.__class__ is NoValue:")
                inner += 1
                self._line(inner, "null = null or v is None")
            elif several:
                self._line(inner, "null = False")
            self._input(inner, source)
        if several:
            self._line(depth, "if null and v.__class__ is NoValue:")
            self._line(depth + 1, "v = None")
        if row.level is Level.REQUIRED:
            self._line(depth, "if v is None or v.__class__ is NoValue:")
            if self.gives_up:
                self._line(depth + 1, "return None")
            else:
                violation = self._constant(missing(row))
                self._line(depth + 1, f"out.setdefault(MISSING, []).append({violation})")
            self._line(depth, "else:")
        else:
            self._line(depth, "if v.__class__ is not NoValue:")
        self._set(depth + 1, row, "v", has_children=has_children)

    def _input(self, depth: int, source: Input) -> None:
        """Set v to what the input gives, with its transforms applied."""
        if source.path:
            self._read(depth, source.path)
            if selection := self.selected.get(source.path):
                self._line(depth, "if v.__class__ is dict:")
                self._line(depth + 1, f"v = {self._constant(selection)}(v)")
            if source.apply:
                fits = UNCHANGED.get(source.apply[0]) if len(source.apply) == 1 else None
                changes = f"v is not ABSENT and not ({fits})" if fits else "v is not ABSENT"
                self._line(depth, f"if {changes}:")
                self._transform(depth + 1, source)
        elif source.expr:
            self._line(depth, f"v = {self._constant(Expression(source.expr))}(event)")
            self._transform(depth, source, may_be_absent=True)
        else:
            self._line(depth, f"v = {source.value!r}")
            self._transform(depth, source)
        if self.converts_dates and source.apply[-1:] == ("object",):
            self._line(depth, "if v.__class__ is dict:")
            self._line(depth + 1, f"v = {self._constant(dates_to_seconds)}(v)")

    def _transform(self, depth: int, source: Input, *, may_be_absent: bool = False) -> None:
        """Apply an input's transforms to v, and warn where that leaves no value.

        ``may_be_absent``: whether v may be a NoValue before.
        """
        for transform in source.apply:
            if may_be_absent:
                self._line(depth, "if v.__class__ is not NoValue:")
            self._line(depth + may_be_absent, f"v = t_{transform}(v)")
            may_be_absent = True
        if may_be_absent:
            self._line(depth, "if v.__class__ is NoValue and v.why:")
            field = field_of(source) or source.expr[:60]
            self._line(depth + 1, f"warnings.append(FieldWarning({field!r}, v.why))")

    def _read(self, depth: int, path: str) -> None:
        """Set v to what stands at a path of the event, or ABSENT."""
        keys = split_path(path)
        if len(keys) > 1:
            self._line(depth, "v = ABSENT")
        holder = "event"
        for key in keys[:-1]:
            self._line(depth, f"o = {holder}.get({key!r})")
            self._line(depth, "if o.__class__ is dict:")
            holder = "o"
            depth += 1
        self._line(depth, f"v = {holder}.get({keys[-1]!r}, ABSENT)")

    def _set(self, depth: int, row: Row, value: str, *, has_children: bool) -> None:
        """Put the value at the row's place in the output, making the objects around it."""
        *parents, last = split_path(row.key)
        holder = "out"
        for index, parent in enumerate(parents):
            if index or self.spreads_top:
                # What stands there may be the caller's own object.
                self._line(depth, f"o = {holder}.get({parent!r})")
                self._line(
                    depth, f"{holder}[{parent!r}] = p = dict(o) if o.__class__ is dict else {{}}"
                )
            else:
                self._line(depth, f"p = {holder}.get({parent!r})")
                self._line(depth, "if p.__class__ is not dict:")
                self._line(depth + 1, f"{holder}[{parent!r}] = p = {{}}")
            holder = "p"
        if last == SPREAD:
            self._line(depth, f"{holder}.update(v)")
            for key in row.except_:
                self._line(depth, f"{holder}.pop({key!r}, None)")
        elif has_children:
            # The caller's own object must not change when the rows below set keys in it.
            self._line(depth, f"{holder}[{last!r}] = dict(v) if v.__class__ is dict else v")
        else:
            self._line(depth, f"{holder}[{last!r}] = {value}")

    def _constant(self, value: Any) -> str:
        """A name for a constant of the function."""
        name = f"c_{len(self.constants)}"
        self.constants[name] = value
        return name

    def _line(self, depth: int, code: str) -> None:
        self.lines.append("    " * depth + code)
        self.size += len(self.lines[-1])


def _mapping(parts: list[Callable[..., Any]]) -> Callable[..., Any]:
    """One mapping function of its parts, each of which continues the output of the one before."""
    first, *others = parts
    if not others:
        return first

    def mapping(event: dict[str, Any], warnings: list[FieldWarning]) -> Output | None:
        out: Output | None = first(event, warnings)
        for part in others:
            if out is None:
                break
            out = part(event, warnings, out)
        return out

    return _with_source(mapping, parts)


def _choice(parts: list[Callable[..., Any]]) -> Callable[..., Any]:
    """One choosing function of its parts, which are tried in order."""
    if len(parts) == 1:
        return parts[0]

    def choice(event: dict[str, Any]) -> Any:
        return next((found for part in parts if (found := part(event)) is not None), None)

    return _with_source(choice, parts)


def _with_source(
    function: Callable[..., Any], parts: list[Callable[..., Any]]
) -> Callable[..., Any]:
    function.__source__ = "".join(part.__source__ for part in parts)  # type: ignore[attr-defined]
    return function


def _single_path(when: When | None) -> str | None:
    """The path of a condition that is on one text alone."""
    if when and len(when.values) == 1 and all(isinstance(v, str) for v in when.values[0][1]):
        return when.values[0][0]
    return None


def _condition(source: str) -> Callable[[dict[str, Any]], bool]:
    """Whether an expression is true of an event. Where it has no value it is not."""
    expression = Expression(source)

    def holds(event: dict[str, Any]) -> bool:
        return expression(event) is True

    return holds
