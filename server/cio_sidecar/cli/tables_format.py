"""Shows tables to people: what ``cio-sidecar tables`` prints."""

from collections.abc import Iterable, Iterator

import orjson

from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.event import ROOTS
from cio_sidecar.mapping.model import Input, Row, Table
from cio_sidecar.paths import split_path


def summary(tables: TableSet) -> Iterator[str]:
    """A line a table."""
    width = max(map(len, tables.tables))
    for table in sorted(tables.tables.values(), key=lambda table: table.name):
        events = ", ".join(table.events) or "from other tables"
        count = len(tables.effective_rows(table.name))
        yield f"{table.name:<{width}} {events}: {count} rows. {table.doc}"


def effective(tables: TableSet, name: str) -> Iterator[str]:
    """A table as it is current: a line a row, and the file and table that the row comes from."""
    table = tables.tables[name]
    yield f"{table.name}: {table.doc}"
    for line in _head(table):
        yield f"  {line}"
    for row in tables.effective_rows(name):
        home = "" if row.home == table.name else f", table {row.home}"
        yield f"  {describe(row)}  [{row.origin}{home}]"


def notes(rows: Iterable[Row]) -> Iterator[str]:
    """What is no mistake and may be one: inputs that no event over gRPC has."""
    for row in rows:
        for path in (source.path for source in row.inputs if source.path):
            if split_path(path)[0] not in ROOTS:
                yield (
                    f"note: {row.name} reads {path}, which no event has that comes over gRPC; it "
                    f"has {', '.join(ROOTS)}"
                )


def differences(before: TableSet, after: TableSet) -> Iterator[str]:
    """What an overlay changes: a line for each row added (+), removed (-) or replaced (- and +)."""
    for name in sorted({*before.tables, *after.tables}):
        old, new = before.tables.get(name), after.tables.get(name)
        if new is None:
            yield f"- {name}"
            continue
        was, now = _head(old) if old else [], _head(new)
        yield from (f"- {name}: {line}" for line in was if line not in now)
        yield from (f"+ {name}: {line}  [{new.file}]" for line in now if line not in was)
        yield from _changed_rows(old, new)


def _changed_rows(before: Table | None, after: Table) -> Iterator[str]:
    old = {row.key: row for row in before.rows} if before else {}
    new = {row.key: row for row in after.rows}
    for key in dict.fromkeys([*old, *new]):
        was, now = old.get(key), new.get(key)
        if was == now or (now and now.home != after.name):
            # What it has from another table is shown with that one.
            continue
        if was:
            yield f"- {after.name}.{describe(was)}"
        if now:
            yield f"+ {after.name}.{describe(now)}  [{now.origin}]"


def _head(table: Table) -> list[str]:
    """What a table says beside its rows, a line each."""
    lines = [f"events: {', '.join(table.events) or 'none, it is reached from other tables'}"]
    keys = ("extends", "operation", "when", "otherwise")
    lines += [f"{key}: {value}" for key in keys if (value := getattr(table, key))]
    if table.also:
        lines.append(f"also: {', '.join(table.also)}")
    if table.drop:
        lines.append("drop: true")
    return lines


def describe(row: Row) -> str:
    """A row in a line: ``name (required) from event | text``."""
    if row.inputs and row.inputs[0].expr:
        source = "expr " + _describe_input(row.inputs[0])
    elif row.inputs:
        source = "from " + ", ".join(map(_describe_input, row.inputs))
    else:
        source = f"value {orjson.dumps(row.value).decode()}"
    without = f" except {', '.join(row.except_)}" if row.except_ else ""
    when = f" when {row.when}" if row.when else ""
    return f"{row.key} ({row.level.value}) {source}{without}{when}"


def _describe_input(source: Input) -> str:
    value = source.path or source.expr or orjson.dumps(source.value).decode()
    return " | ".join((value, *source.apply))
