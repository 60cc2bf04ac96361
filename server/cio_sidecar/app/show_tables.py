"""Shows tables to people: what ``cio-sidecar tables`` prints."""

from collections.abc import Iterator

import orjson

from cio_sidecar.mapping.profiles import TableSet
from cio_sidecar.mapping.table import Row, Table


def summary(tables: TableSet) -> Iterator[str]:
    """A line a table."""
    for table in sorted(tables.tables.values(), key=lambda table: table.name):
        yield f"{table.name:<10} {', '.join(table.events)}: {len(table.rows)} rows. {table.doc}"


def effective(table: Table) -> Iterator[str]:
    """A table as it is in force: a line a row, and the file that the row comes from."""
    yield f"{table.name}: {table.doc}"
    for row in table.rows:
        yield f"  {describe(row)}  [{row.origin}]"


def differences(before: TableSet, after: TableSet) -> Iterator[str]:
    """What an overlay changes: a line for each row added (+), removed (-) or replaced (- and +)."""
    for name in sorted({*before.tables, *after.tables}):
        old, new = _rows(before, name), _rows(after, name)
        for key in dict.fromkeys([*old, *new]):
            was, now = old.get(key), new.get(key)
            if was == now:
                continue
            if was:
                yield f"- {name}.{describe(was)}"
            if now:
                yield f"+ {name}.{describe(now)}  [{now.origin}]"


def describe(row: Row) -> str:
    """A row in a line: ``name (required) from event | text``."""
    if row.inputs:
        source = "from " + ", ".join(" | ".join((each.path, *each.apply)) for each in row.inputs)
    else:
        source = f"value {orjson.dumps(row.value).decode()}"
    without = f" except {', '.join(row.except_)}" if row.except_ else ""
    return f"{row.key} ({row.level.value}) {source}{without}"


def _rows(tables: TableSet, name: str) -> dict[str, Row]:
    table = tables.tables.get(name)
    return {row.key: row for row in table.rows} if table else {}
