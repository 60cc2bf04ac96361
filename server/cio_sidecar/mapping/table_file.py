"""Reading a mapping table from a YAML file.

A file that can't be used is refused whole, with every mistake by file, line and row.
"""

import math
from collections.abc import Iterable
from typing import Any, Final, Literal

from pydantic import BaseModel, Field, ValidationError, field_validator
from pydantic_core import ErrorDetails

from cio_sidecar.mapping.errors import Mistake, TableError
from cio_sidecar.mapping.event import INTEGERS
from cio_sidecar.mapping.table import (
    EVENT_KEYS,
    SPREAD,
    EventType,
    Input,
    Level,
    Row,
    Strict,
    Table,
    is_spread,
    join_path,
    split_path,
)
from cio_sidecar.mapping.transforms import TRANSFORMS
from cio_sidecar.mapping.yaml_lines import Location, YamlError, load

_CONSTANT_DEPTH: Final = 32


class _InputFile(Strict):
    path: str
    apply: list[str] = Field(default_factory=list)


class _RowFile(Strict):
    key: str
    level: Literal["required", "highly_recommended", "optional"] = "optional"
    doc: str = ""
    from_: list[_InputFile] | None = Field(None, alias="from")
    value: Any = None
    apply: list[str] = Field(default_factory=list)
    except_: list[str] = Field(default_factory=list, alias="except")
    remove: bool = False

    @field_validator("from_", mode="before")
    @classmethod
    def _paths(cls, source: Any) -> Any:
        """Spell out the short forms: a path alone, and a list of paths."""
        sources = source if isinstance(source, list) else [source]
        return [{"path": item} if isinstance(item, str) else item for item in sources]


class _TableFile(Strict):
    table: str
    doc: str = ""
    events: list[EventType] = Field(default_factory=list)
    rows: list[_RowFile]


def parse(text: str, file: str, base: dict[str, Table] | None = None) -> Table:
    """Read a table file.

    Where ``base`` holds a table of that name the file extends it: a row with a known key replaces
    that row in its place, ``remove: true`` takes one out, other rows are added: ``*`` at the
    front, so that named rows go before it, anything else at the end.

    Raises TableError with every mistake of the file.
    """
    reader = _Reader(file, base or {})
    table = reader.read(text)
    if table is None or reader.mistakes:
        raise TableError(reader.mistakes)
    return table


class _Reader:
    """Reads one file, gathering its mistakes."""

    def __init__(self, file: str, base: dict[str, Table]) -> None:
        self.file = file
        self.base = base
        self.mistakes: list[Mistake] = []

    def read(self, text: str) -> Table | None:
        try:
            self.document = document = load(text)
        except YamlError as error:
            self.mistakes.append(Mistake(self.file, error.line, None, error.problem))
            return None
        if not isinstance(document.value, dict):
            self._mistake((), "expected a table with the keys table, doc, events and rows")
            return None
        try:
            raw = _TableFile.model_validate(document.value)
        except ValidationError as error:
            for detail in error.errors():
                self._invalid(detail)
            return None
        return self._table(raw)

    def _table(self, raw: _TableFile) -> Table | None:
        base = self.base.get(raw.table)
        if base is None and not raw.events:
            self._mistake(
                (), "events is missing: list the event types that the table is for (events: [page])"
            )
        if base is not None and raw.events:
            self._mistake(
                ("events",), f"the table {raw.table} has its events already; leave events out"
            )
        if not raw.table.strip():
            self._mistake(("table",), "table is blank: give the table a name")
        if base is None and not raw.doc:
            self._mistake((), "doc is missing: say in a sentence what the table is for")
        events = base.events if base else tuple(raw.events)
        rows = {row.key: row for row in base.rows} if base else {}
        seen: set[str] = set()
        for index, raw_row in enumerate(raw.rows):
            at: Location = ("rows", index)
            try:
                key = join_path(split_path(raw_row.key))
            except ValueError as error:
                self._mistake((*at, "key"), str(error))
                continue
            if key in seen:
                self._mistake((*at, "key"), "two rows have this key; merge them into one")
            seen.add(key)
            if raw_row.remove:
                self._remove(raw_row, key, at, rows)
                continue
            row = self._row(raw_row, key, at, events)
            if row is None:
                continue
            if row.key == SPREAD and row.key not in rows:
                rows = {row.key: row, **rows}
            else:
                rows[row.key] = row
        self._check_order(rows, raw)
        if self.mistakes:
            return None
        doc = raw.doc or (base.doc if base else "")
        return Table(
            name=raw.table, doc=doc, events=events, rows=tuple(rows.values()), file=self.file
        )

    def _remove(self, raw: _RowFile, key: str, at: Location, rows: dict[str, Row]) -> None:
        if key not in rows:
            known = ", ".join(rows) or "none"
            self._mistake((*at, "key"), f"there is no such row to remove; there are {known}")
        elif raw.model_fields_set - {"key", "remove"}:
            self._mistake(at, "a row with remove: true has only key and remove")
        else:
            del rows[key]

    def _row(self, raw: _RowFile, key: str, at: Location, events: Iterable[str]) -> Row | None:
        before = len(self.mistakes)
        self._check_key(key, at, events)
        has_value = "value" in raw.model_fields_set
        if has_value == (raw.from_ is not None):
            self._mistake(at, "a row has exactly one of from (an input) and value (a constant)")
        if has_value and raw.apply:
            self._mistake((*at, "apply"), "apply goes with from; write the value as it shall be")
        if has_value and not set(events) & {"identify"} and not _fits_event(key, raw.value):
            what = f"{key} is {_EVENT_TYPES[key]} in Customer.io's events, got {raw.value!r:.60}"
            self._mistake((*at, "value"), what)
        if problem := _unfit(raw.value):
            self._mistake((*at, "value"), f"value: {problem}")
        if not raw.doc:
            self._mistake(at, "doc is missing: say in a sentence what the row is for")
        self._check_transforms(raw.apply, (*at, "apply"))
        if raw.except_ and not is_spread(key):
            self._mistake((*at, "except"), "except goes with the key * alone")
        if is_spread(key) and "object" not in raw.apply:
            self._mistake(at, "a row with the key * needs apply: [object]")
        inputs = self._inputs(raw, at)
        if len(self.mistakes) > before:
            return None
        return Row(
            key=key,
            level=Level(raw.level),
            doc=raw.doc,
            inputs=inputs,
            value=raw.value,
            except_=tuple(raw.except_),
            origin=self.file,
        )

    def _inputs(self, raw: _RowFile, at: Location) -> tuple[Input, ...]:
        if raw.from_ == []:
            self._mistake((*at, "from"), "from is empty: name an input, such as properties.total")
        inputs: list[Input] = []
        for index, source in enumerate(raw.from_ or ()):
            where = (*at, "from", index)
            try:
                split_path(source.path)
            except ValueError as error:
                self._mistake(where, str(error))
            self._check_transforms(source.apply, where)
            inputs.append(Input(path=source.path, apply=(*source.apply, *raw.apply)))
        return tuple(inputs)

    def _check_transforms(self, names: Iterable[str], at: Location) -> None:
        for name in names:
            if name not in TRANSFORMS:
                known = ", ".join(TRANSFORMS)
                self._mistake(at, f"there is no transform {name!r}; there are {known}")

    def _check_key(self, key: str, at: Location, events: Iterable[str]) -> None:
        first, *_ = keys = split_path(key)
        if "\0" in key:
            self._mistake((*at, "key"), "holds a null byte (U+0000): remove it")
        elif SPREAD in keys[:-1]:
            self._mistake(
                (*at, "key"), "* stands for every key of an object: nothing goes below it"
            )
        elif set(events) - {"identify"} and key == SPREAD:
            self._mistake((*at, "key"), "of an event only the data is open: use data.*")
        elif set(events) - {"identify"} and first not in EVENT_KEYS:
            allowed = ", ".join(sorted(EVENT_KEYS - {SPREAD}))
            self._mistake(
                (*at, "key"),
                f"Customer.io's events have no key {first!r}: put it below data "
                f"(data.{first}), or use one of {allowed}",
            )

    def _check_order(self, rows: dict[str, Row], raw: _TableFile) -> None:
        keys = list(rows)
        for index, key in enumerate(keys):
            for later in keys[index + 1 :]:
                if key.startswith(f"{later}."):
                    at = next(
                        (
                            ("rows", i)
                            for i, row in enumerate(raw.rows)
                            if join_path(split_path(row.key)) in (key, later)
                        ),
                        (),
                    )
                    self._mistake(at, f"the row {later} would overwrite {key}: put it before")

    def _invalid(self, detail: ErrorDetails) -> None:
        location: Location = detail["loc"]
        name = next((str(part) for part in reversed(location) if isinstance(part, str)), "table")
        model: type[BaseModel] = _TableFile if len(location) == 1 else _RowFile
        if len(location) > 3:
            model = _InputFile
        known = ", ".join(field.alias or key for key, field in model.model_fields.items())
        if detail["type"] == "extra_forbidden":
            self._mistake(location, f"unknown key {name!r}; there are {known}")
        elif detail["type"] == "model_type":
            what = "a path or an object" if model is _InputFile else "an object"
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
        mistake = Mistake(self.file, self.document.line(at), row, problem)
        if mistake not in self.mistakes:
            self.mistakes.append(mistake)


_EVENT_TYPES: Final = {
    "name": "text",
    "id": "text",
    "person": "text",
    "anonymous_id": "text",
    "timestamp": "whole Unix seconds",
    "data": "an object",
    "type": "event, page or screen",
}


def _fits_event(key: str, value: Any) -> bool:
    """Whether a constant has the type that an event's key has."""
    if key == "type":
        return value in ("event", "page", "screen")
    if key == "timestamp":
        return type(value) is int
    if key == "data":
        return isinstance(value, dict)
    return key not in _EVENT_TYPES or (isinstance(value, str) and bool(value.strip()))


def _unfit(value: Any, depth: int = 0) -> str | None:
    """Why a constant can't stand in a request; None if it can."""
    if isinstance(value, (dict, list)):
        if depth == _CONSTANT_DEPTH:
            return f"nests deeper than {_CONSTANT_DEPTH} levels: flatten it"
        inner = [*value, *value.values()] if isinstance(value, dict) else value
        return next((problem for item in inner if (problem := _unfit(item, depth + 1))), None)
    if isinstance(value, str) and "\0" in value:
        return "holds a null byte (U+0000): remove it"
    if isinstance(value, float) and not math.isfinite(value):
        return f"JSON has no {value}: write null or text"
    if isinstance(value, int) and value not in INTEGERS:
        return f"{value} is beyond 64 bits: write it as text"
    return None
