"""Compiles the tables for one event type to a straight-line Python function.

The function takes ``(event, warnings)`` and returns the output; it interprets nothing. Its source
is kept on it as ``__source__`` for people and tests.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from cio_sidecar.mapping.errors import FieldWarning, Violation
from cio_sidecar.mapping.table import SPREAD, Input, Level, Row, Table, split_path
from cio_sidecar.mapping.transforms import ABSENT, TRANSFORMS, NoValue

Output = dict[str, Any]
Mapping = Callable[[dict[str, Any], list[FieldWarning]], Output]

MISSING: Final = "\0missing"
"""Key of the output under which the violations of required rows stand, if there are any. No row
can set it: a key of a table holds no null byte."""


def compile_tables(name: str, tables: list[Table]) -> Mapping:
    """Make the mapping function of an event type out of its tables, in their order."""
    return _Compiler().compile(name, tables)


def missing(table: Table, row: Row) -> Violation:
    """The violation of a required row that got no value, by its first input."""
    return Violation(
        row.inputs[0].path if row.inputs else row.key,
        "REQUIRED",
        f"{table.name}.{row.key} is required and got no value: give {either(row.inputs)}",
    )


def either(inputs: Sequence[Input]) -> str:
    """The inputs' paths as an enumeration: "userId, traits.email or context.traits.email"."""
    *paths, last = (source.path for source in inputs)
    return f"{', '.join(paths)} or {last}" if paths else last


class _Compiler:
    """Writes the source of one function, and gathers the constants that it uses."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.constants: dict[str, Any] = {
            "ABSENT": ABSENT,
            "NoValue": NoValue,
            "FieldWarning": FieldWarning,
            "MISSING": MISSING,
            **{f"t_{transform}": function for transform, function in TRANSFORMS.items()},
        }

    def compile(self, name: str, tables: list[Table]) -> Mapping:
        self._line(0, f"def {name}(event, warnings):")
        self._line(1, "out = {}")
        keys = [row.key for table in tables for row in table.rows]
        self.spreads_top = SPREAD in keys
        for table in tables:
            for row in table.rows:
                # Escaped: a line break in a name must not end the comment.
                self._line(1, ascii(f"# {table.name}.{row.key}")[1:-1])
                self._row(table, row, has_children=any(k.startswith(f"{row.key}.") for k in keys))
        self._line(1, "return out")
        source = "\n".join(self.lines) + "\n"
        exec(compile(source, f"<mapping of {name}>", "exec"), self.constants)  # noqa: S102
        function: Mapping = self.constants[name]
        function.__source__ = source  # type: ignore[attr-defined]
        return function

    def _row(self, table: Table, row: Row, *, has_children: bool) -> None:
        if not row.inputs:
            self._set(1, row, self._constant(row.value), has_children=False)
            return
        several = len(row.inputs) > 1
        depth = 1
        for index, source in enumerate(row.inputs):
            if index:
                self._line(depth, "if v is None or v.__class__ is NoValue:")
                depth += 1
                self._line(depth, "null = null or v is None")
            elif several:
                self._line(depth, "null = False")
            self._input(depth, source)
        if several:
            self._line(1, "if null and v.__class__ is NoValue:")
            self._line(2, "v = None")
        if row.level is Level.REQUIRED:
            self._line(1, "if v is None or v.__class__ is NoValue:")
            violation = self._constant(missing(table, row))
            self._line(2, f"out.setdefault(MISSING, []).append({violation})")
            self._line(1, "else:")
        else:
            self._line(1, "if v.__class__ is not NoValue:")
        self._set(2, row, "v", has_children=has_children)

    def _input(self, depth: int, source: Input) -> None:
        """Set v to what the input gives, with its transforms applied."""
        keys = split_path(source.path)
        if len(keys) > 1:
            self._line(depth, "v = ABSENT")
        holder = "event"
        inner = depth
        for key in keys[:-1]:
            self._line(inner, f"o = {holder}.get({key!r})")
            self._line(inner, "if o.__class__ is dict:")
            holder = "o"
            inner += 1
        self._line(inner, f"v = {holder}.get({keys[-1]!r}, ABSENT)")
        for transform in source.apply:
            self._line(depth, "if v.__class__ is not NoValue:")
            self._line(depth + 1, f"v = t_{transform}(v)")
        if source.apply:
            self._line(depth, "if v.__class__ is NoValue and v.why:")
            self._line(depth + 1, f"warnings.append(FieldWarning({source.path!r}, v.why))")

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
        """Code for a constant; a list or object is written out, so that each event has its own."""
        if isinstance(value, Violation):
            name = f"c_{len(self.constants)}"
            self.constants[name] = value
            return name
        return repr(value)

    def _line(self, depth: int, code: str) -> None:
        self.lines.append("    " * depth + code)
