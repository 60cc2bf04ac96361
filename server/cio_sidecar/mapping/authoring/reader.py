"""Reading a mapping table from a YAML file.

A file that can't be used is rejected whole, with every mistake by file, line and row. What only the
tables together can tell (that an extended table is there, that a key fits the operation) is checked
in check.py.
"""

import math
import re
from collections.abc import Collection
from difflib import get_close_matches
from functools import lru_cache
from typing import Any, Final

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from cio_sidecar.mapping.authoring.file_format import InputFile, RowFile, TableFile
from cio_sidecar.mapping.errors import Mistake, TableError, listing, shorten
from cio_sidecar.mapping.event import INTEGERS, ROOTS
from cio_sidecar.mapping.model import SPREAD, Input, Level, Row, Table, When, extend_rows, is_spread
from cio_sidecar.mapping.running.expressions import Expression, ExpressionError
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.paths import join_path, split_path
from cio_sidecar.yaml_lines import Location, YamlError, load

MAX_CHARACTERS: Final = 1_000_000
"""How long a table file may be."""
MAX_INPUTS: Final = 20
"""Maximum number of entries in ``from`` and ``apply``, of paths in ``when``, and of keys in a path
or an output key."""
_NEAR: Final = 0.7
"""How alike two names are, from 0 to 1, for the one to be the other misspelt."""
_CONSTANT_DEPTH: Final = 32
_CONSTANT_VALUES: Final = 10_000
_MAX_EXCEPT: Final = 1_000
_SHOWN_ROW_CHARACTERS: Final = 200
_NAME_CHARACTERS: Final = 64
"""How much of a name is compared with others: longer ones are like none of them."""
_Scalar = str | int | float | bool | None


def parse(
    text: str, file: str, base: dict[str, Table] | None = None, beside: Collection[str] = ()
) -> Table | str:
    """Read a table file.

    Where ``base`` holds a table of that name the file extends it, as extend_rows() does. Returns
    the name alone of a table that the file takes out.

    ``beside`` names the other files of the same overlay: what one of them sets is not replaced.

    Raises TableError with every mistake of the file.
    """
    reader = _Reader(file, base or {}, beside)
    table = reader.read(text)
    if table is None or reader.mistakes:
        raise TableError([*reader.mistakes])
    return table


class _Reader:
    """Reads one file, gathering its mistakes."""

    def __init__(self, file: str, base: dict[str, Table], beside: Collection[str]) -> None:
        self.file = file
        self.base = base
        self.beside = beside
        # A dict: in order, each once.
        self.mistakes: dict[Mistake, None] = {}

    def read(self, text: str) -> Table | str | None:
        if len(text) > MAX_CHARACTERS:
            what = f"{len(text):,} characters, the limit is {MAX_CHARACTERS:,}: split the table"
            self.mistakes[Mistake(self.file, 1, None, what)] = None
            return None
        try:
            self.document = document = load(text)
        except YamlError as error:
            self.mistakes[Mistake(self.file, error.line, None, error.problem)] = None
            return None
        if not isinstance(document.value, dict):
            self._mistake((), "expected a table with the keys table, doc, events and rows")
            return None
        try:
            raw = TableFile.model_validate(document.value)
        except ValidationError as error:
            for detail in error.errors(include_url=False, include_context=False):
                self._invalid(detail)
            return None
        return self._remove_table(raw) if raw.remove else self._table(raw)

    def _remove_table(self, raw: TableFile) -> str | None:
        if raw.table not in self.base:
            known = listing(self.base)
            what = f"there is no table {raw.table!r:.60} to remove; there are {known}"
            self._mistake(("table",), what)
        if raw.model_fields_set - {"table", "remove"}:
            self._mistake((), "a table with remove: true has only table and remove")
        return raw.table

    def _table(self, raw: TableFile) -> Table | None:
        base = self.base.get(raw.table)
        given = raw.model_fields_set
        self._check_table(raw, base)
        rows, removed = self._rows(raw, base)
        when = self._when(raw.when, ("when",)) if "when" in given else None
        if self.mistakes:
            return None
        places = {key: (self.file, self.document.line((key,))) for key in given}
        # Whether others are there to be removed, the extended table will tell.
        places |= {f"-{key}": (self.file, line) for key, line in removed.items() if line}
        changes: dict[str, Any] = {
            "rows": tuple(extend_rows(base.rows if base else (), rows, removed)),
            "removed": tuple(dict.fromkeys((*(base.removed if base else ()), *removed))),
            "places": {**(base.places if base else {}), **places},
            "file": self.file,
        }
        for key in ("doc", "extends", "operation", "otherwise", "drop"):
            if key in given:
                changes[key] = getattr(raw, key)
        for key in ("events", "also"):
            if key in given:
                changes[key] = tuple(getattr(raw, key))
        if when:
            changes["when"] = when
        if base:
            return base.model_copy(update=changes)
        return Table(**{"name": raw.table, "events": (), **changes})

    def _check_table(self, raw: TableFile, base: Table | None) -> None:
        given = raw.model_fields_set
        if not raw.table.strip():
            self._mistake(("table",), "table is blank: give the table a name")
        if base is not None:
            for key in ("events", "extends", "operation"):
                if key in given:
                    what = f"the table {raw.table} has its {key} already; leave {key} out"
                    self._mistake((key,), what)
            if not given - {"table"}:
                self._mistake((), "nothing is changed: give rows, or another key of the table")
        else:
            if "events" not in given and not raw.extends:
                known = listing(self.base)
                what = "list the event types that the table is for (events: [page])"
                what += f", or extend a table that is there: {known}"
                self._mistake((), f"events is missing: {what}")
            if not raw.doc:
                self._mistake((), "doc is missing: say in a sentence what the table is for")
            if "rows" not in given and not (raw.extends or raw.drop or raw.operation):
                self._mistake((), "rows is missing")
        if len(raw.also) > MAX_INPUTS:
            self._mistake(
                ("also",), f"also has {len(raw.also):,} tables, the limit is {MAX_INPUTS}"
            )
        elif len({*raw.also}) < len(raw.also):
            self._mistake(("also",), "also names a table twice: remove one of the two")
        if raw.operation is not None and raw.operation not in OPERATIONS:
            known = ", ".join(OPERATIONS)
            what = f"there is no operation {raw.operation!r:.60}; there are {known}"
            self._mistake(("operation",), what)
        if raw.drop and (raw.operation or raw.rows or raw.also or raw.otherwise):
            what = (
                "a table with drop: true sends nothing: leave rows, operation, also, otherwise out"
            )
            self._mistake(("drop",), what)

    def _rows(self, raw: TableFile, base: Table | None) -> tuple[list[Row], dict[str, int]]:
        """The rows that the file states, and the keys that it removes with their lines."""
        rows: list[Row] = []
        removed: dict[str, int] = {}
        seen: set[str] = set()
        held = {row.key: row for row in base.rows} if base else {}
        # What an extended table holds shows only when all files are read.
        extends = raw.extends or (base and base.extends)
        for index, raw_row in enumerate(raw.rows):
            at: Location = ("rows", index)
            try:
                keys = split_path(raw_row.key)
            except ValueError as error:
                self._mistake((*at, "key"), str(error))
                continue
            if len(keys) > MAX_INPUTS:
                what = f"{raw_row.key[:60]!r}… has {len(keys):,} keys, the limit is {MAX_INPUTS}"
                self._mistake((*at, "key"), what)
                continue
            key = join_path(keys)
            if key in seen:
                self._mistake((*at, "key"), "two rows have this key; merge them into one")
            seen.add(key)
            if not raw_row.remove:
                if (other := held.get(key)) and other.origin in self.beside:
                    what = (
                        f"this row is set at {other.origin}:{other.line} too: remove one of the two"
                    )
                    self._mistake((*at, "key"), what)
                if row := self._row(raw_row, key, at, raw.table):
                    rows.append(row)
            elif raw_row.model_fields_set - {"key", "remove"}:
                self._mistake(at, "a row with remove: true has only key and remove")
            elif key not in held and not extends:
                self._mistake((*at, "key"), no_row_to_remove(held))
            else:
                removed[key] = 0 if key in held else self.document.line((*at, "key"))
        return rows, removed

    def _row(self, raw: RowFile, key: str, at: Location, table: str) -> Row | None:
        before = len(self.mistakes)
        self._check_key(key, at)
        has_value = "value" in raw.model_fields_set
        if has_value + (raw.from_ is not None) + (raw.expr is not None) != 1:
            what = "a row has exactly one of from (an input), value (a constant) and expr (CEL)"
            self._mistake(at, what)
        if has_value and raw.apply:
            self._mistake((*at, "apply"), "apply goes with from; write the value as it shall be")
        if problem := _unfit(raw.value):
            self._mistake((*at, "value"), f"value: {problem}")
        if not raw.doc:
            self._mistake(at, "doc is missing: say in a sentence what the row is for")
        self._check_transforms(raw.apply, (*at, "apply"))
        if len(raw.except_) > _MAX_EXCEPT:
            what = f"except has {len(raw.except_):,} keys, the limit is {_MAX_EXCEPT:,}"
            self._mistake((*at, "except"), what)
        if raw.except_ and not is_spread(key):
            self._mistake((*at, "except"), "except goes with the key * alone")
        if is_spread(key) and not {"object", "text_values"} & {*raw.apply}:
            self._mistake(at, "a row with the key * needs apply: [object]")
        inputs = self._inputs(raw, at)
        if raw.expr is not None:
            self._expression(raw.expr, (*at, "expr"), "expr")
            inputs = (Input(expr=raw.expr, apply=tuple(raw.apply)),)
        when = self._when(raw.when, (*at, "when")) if "when" in raw.model_fields_set else None
        if len(self.mistakes) > before:
            return None
        return Row(
            key=key,
            level=Level(raw.level),
            doc=raw.doc,
            inputs=inputs,
            value=raw.value,
            except_=tuple(raw.except_),
            when=when,
            home=table,
            origin=self.file,
            line=self.document.line((*at, "key")),
        )

    def _inputs(self, raw: RowFile, at: Location) -> tuple[Input, ...]:
        if raw.from_ == []:
            self._mistake((*at, "from"), "from is empty: name an input, such as properties.total")
        if len(raw.from_ or ()) > MAX_INPUTS:
            what = f"from has {len(raw.from_ or ())} entries, the limit is {MAX_INPUTS}"
            self._mistake((*at, "from"), what)
        inputs: list[Input] = []
        for index, source in enumerate(raw.from_ or ()):
            where = (*at, "from", index)
            constant = "value" in source.model_fields_set
            path = ""
            if constant + bool(source.path) + bool(source.expr) != 1:
                self._mistake(where, "an entry of from has exactly one of path, value and expr")
            elif constant:
                if index == 0 or index < len(raw.from_ or ()) - 1:
                    self._mistake(where, "a constant comes last, after at least one path")
                if problem := _unfit(source.value):
                    self._mistake(where, f"value: {problem}")
            elif source.expr:
                self._expression(source.expr, where, "expr")
            else:
                path = self._path(source.path, where)
            self._check_transforms(source.apply, where)
            # A constant is written as it shall be.
            apply = tuple(source.apply) if constant else (*source.apply, *raw.apply)
            inputs.append(Input(path=path, expr=source.expr, value=source.value, apply=apply))
        return tuple(inputs)

    def _when(self, raw: Any, at: Location) -> When | None:
        """A condition, in either of its forms."""
        if isinstance(raw, str):
            kind = self._expression(raw, at, "when")
            if kind is not None and kind not in ("BOOL", "DYN"):
                what = f"when: expected an expression that is true or false, got {kind.lower()}"
                self._mistake(at, what)
            return When(expr=raw)
        if not raw or not isinstance(raw, dict):
            what = "when: expected paths with their values (event: [Order Completed]) or CEL text"
            self._mistake(at, what)
            return None
        if len(raw) > MAX_INPUTS:
            self._mistake(at, f"when has {len(raw)} paths, the limit is {MAX_INPUTS}")
        values: list[tuple[str, tuple[_Scalar, ...]]] = []
        for given, allowed in raw.items():
            choices = allowed if isinstance(allowed, list) else [allowed]
            path = self._path(given, at, "when: ")
            if not choices or any(isinstance(choice, (list, dict)) for choice in choices):
                self._mistake(at, f"when: expected a value or a list of values for {path}")
            else:
                values.append((path, tuple(choices)))
        return When(values=tuple(values))

    def _expression(self, source: str, at: Location, key: str) -> str | None:
        """The type that an expression gives; None where it can't be used."""
        try:
            expression = Expression(source)
        except ExpressionError as error:
            self._mistake(at, f"{key}: {error}")
            return None
        for root in dict.fromkeys(path.partition(".")[0] for path in expression.paths):
            self._check_root(root, at, f"{key}: ")
        return expression.type

    def _path(self, path: str, at: Location, prefix: str = "") -> str:
        """A path in its one spelling."""
        try:
            keys = split_path(path)
            if re.search(r"\w\[\d*\]", path) and '"' not in path:
                what = f"{path!r:.60}: a path reaches into objects alone; for a list use expr"
                self._mistake(at, prefix + what)
            self._check_root(keys[0], at, prefix)
            if len(keys) > MAX_INPUTS:
                what = f"{path[:60]!r}… has over {MAX_INPUTS} keys: that is the limit"
                self._mistake(at, prefix + what)
            return join_path(keys)
        except ValueError as error:
            self._mistake(at, f"{prefix}{error}")
            return path

    def _check_root(self, root: str, at: Location, prefix: str) -> None:
        """Any key may stand in an event that comes as JSON; a misspelt one is a mistake."""
        if root in ROOTS:
            return
        if near := _near_root(root[:_NAME_CHARACTERS]):
            what = f"an event has no {root:.60}: did you mean {near}? It has {', '.join(ROOTS)}"
            self._mistake(at, f"{prefix}{what}")

    def _check_transforms(self, names: Collection[str], at: Location) -> None:
        if len(names) > MAX_INPUTS:
            self._mistake(at, f"apply has {len(names):,} transforms, the limit is {MAX_INPUTS}")
            return
        for name in names:
            if name not in TRANSFORMS:
                known = ", ".join(TRANSFORMS)
                self._mistake(at, f"there is no transform {name!r:.60}; there are {known}")

    def _check_key(self, key: str, at: Location) -> None:
        if "\0" in key:
            self._mistake((*at, "key"), "holds a null byte (U+0000): remove it")
        elif SPREAD in split_path(key)[:-1]:
            self._mistake(
                (*at, "key"), "* stands for every key of an object: nothing goes below it"
            )

    def _invalid(self, detail: ErrorDetails) -> None:
        location: Location = detail["loc"]
        name = next((str(part) for part in reversed(location) if isinstance(part, str)), "table")
        model: type[BaseModel] = TableFile if len(location) == 1 else RowFile
        if len(location) > 3:
            model = InputFile
        known = ", ".join(field.alias or key for key, field in model.model_fields.items())
        if detail["type"] == "extra_forbidden":
            self._mistake(location, f"unknown key {name!r:.60}; there are {known}")
        elif detail["type"] == "model_type":
            what = "a path or an object" if model is InputFile else "an object"
            got = f"{detail['input']!r:.60}"
            self._mistake(location, f"{name}: expected {what} with the keys {known}, got {got}")
        elif detail["type"] == "missing":
            self._mistake(location[:-1], f"{name} is missing")
        else:
            problem = detail["msg"][0].lower() + detail["msg"][1:]
            self._mistake(location, f"{name}: {problem}, got {detail['input']!r:.60}")

    def _mistake(self, at: Location, problem: str) -> None:
        row = None
        if len(at) >= 2 and at[0] == "rows" and isinstance(at[1], int):
            value = self.document.value
            raw = value["rows"][at[1]]
            key = raw.get("key") if isinstance(raw, dict) else None
            row = f"{value.get('table')}.{key}" if key else f"number {at[1] + 1}"
        if row:
            row = shorten(row, _SHOWN_ROW_CHARACTERS)
        self.mistakes[Mistake(self.file, self.document.line(at), row, problem)] = None


def no_row_to_remove(held: Collection[str]) -> str:
    """What is wrong with removing a row that is not there."""
    return f"there is no such row to remove; there are {listing(held)}"


@lru_cache(maxsize=1024)
def _near_root(root: str) -> str | None:
    """The key of an event that a name is nearly the same as."""
    return next(iter(get_close_matches(root, ROOTS, 1, _NEAR)), None)


def _unfit(value: Any) -> str | None:
    """Why a constant can't stand in a request; None if it can."""
    if problem := _unfit_value(value, 0):
        return problem
    count = _count(value)
    if count > _CONSTANT_VALUES:
        return f"holds {count:,} values, the limit is {_CONSTANT_VALUES:,}"
    return None


def _count(value: Any) -> int:
    """How many values a constant holds, itself among them."""
    if not isinstance(value, (dict, list)):
        return 1
    return 1 + sum(map(_count, value.values() if isinstance(value, dict) else value))


def _unfit_value(value: Any, depth: int) -> str | None:
    if isinstance(value, (dict, list)):
        if depth == _CONSTANT_DEPTH:
            return f"nests deeper than {_CONSTANT_DEPTH} levels: flatten it"
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return next((problem for item in inner if (problem := _unfit_value(item, depth + 1))), None)
    if isinstance(value, str) and "\0" in value:
        return "holds a null byte (U+0000): remove it"
    if isinstance(value, float) and not math.isfinite(value):
        return f"JSON has no {value}: write null or text"
    if isinstance(value, int) and value not in INTEGERS:
        return f"{value} is beyond 64 bits: write it as text"
    return None
