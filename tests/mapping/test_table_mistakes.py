"""A table file with a mistake is rejected by file, line and row."""

from __future__ import annotations

import pytest
from cio_sidecar.mapping.authoring.file_format import InputFile, RowFile, TableFile
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping.authoring.reader import parse
from cio_sidecar.mapping.errors import Mistake, TableError
from cio_sidecar.mapping.model import Table
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from pydantic import BaseModel

HEAD = "table: views\ndoc: Views.\nevents: [page]\nrows:\n"


def keys_of(model: type[BaseModel]) -> str:
    return ", ".join(field.alias or key for key, field in model.model_fields.items())


ROW_KEYS = keys_of(RowFile)
INPUT_KEYS = keys_of(InputFile)
TABLE_KEYS = keys_of(TableFile)
KNOWN_TRANSFORMS = ", ".join(TRANSFORMS)
NO_PATH = (
    "{!r} is no path: write keys joined by dots (context.page.url), a key with a dot or space in "
    'it in double quotes (properties."order.id")'
)
ONE_SOURCE = "a row has exactly one of from (an input), value (a constant) and expr (CEL)"
LIST_EVENTS = (
    "list the event types that the table is for (events: [page]), or extend a table that is "
    "there: none"
)
EVENTS = "'identify', 'page', 'screen', 'track', 'group' or 'alias'"


def mistakes(text: str, file: str = "views.yaml") -> list[str]:
    """What is wrong with a table file by itself."""
    with pytest.raises(TableError) as caught:
        parse(text, file)
    assert str(caught.value) == "\n".join(map(str, caught.value.mistakes))
    return [str(mistake) for mistake in caught.value.mistakes]


def overlay_mistakes(*files: tuple[str, str], profile: str = "standard") -> list[str]:
    """What is wrong with an overlay."""
    with pytest.raises(TableError) as caught:
        load_profile(profile, files)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("row", "line", "named", "problem"),
    [
        pytest.param(
            "  - key: data\n    from: properties\n    form: x\n    doc: d\n",
            7,
            "data",
            f"unknown key 'form'; there are {ROW_KEYS}",
            id="unknown key in a row",
        ),
        pytest.param(
            "  - key: data.x\n    doc: d\n    from:\n      - path: userId\n        aply: [text]\n",
            9,
            "data.x",
            f"unknown key 'aply'; there are {INPUT_KEYS}",
            id="unknown key in an input",
        ),
        pytest.param(
            "  - key: data.x\n    from: userId\n    apply: [shout]\n    doc: d\n",
            7,
            "data.x",
            f"there is no transform 'shout'; there are {KNOWN_TRANSFORMS}",
            id="unknown transform of a row",
        ),
        pytest.param(
            "  - key: data.x\n    doc: d\n"
            "    from:\n      - userId\n      - {path: a, apply: [shout]}\n",
            9,
            "data.x",
            f"there is no transform 'shout'; there are {KNOWN_TRANSFORMS}",
            id="unknown transform of an input",
        ),
        pytest.param(
            "  - key: data.x\n    from: propertys.x\n    doc: d\n",
            6,
            "data.x",
            "an event has no propertys: did you mean properties? It has type, userId, anonymousId, "
            "messageId, timestamp, originalTimestamp, receivedAt, event, name, category, groupId, "
            "previousId, properties, traits, context",
            id="misspelt root",
        ),
        pytest.param(
            "  - key: data.x\n    expr: event.propertys.x\n    doc: d\n",
            6,
            "data.x",
            "expr: an event has no propertys: did you mean properties? It has type, userId, "
            "anonymousId, messageId, timestamp, originalTimestamp, receivedAt, event, name, "
            "category, groupId, previousId, properties, traits, context",
            id="misspelt root of an expression",
        ),
        pytest.param(
            "  - key: data.x\n    level: must\n    from: userId\n    doc: d\n",
            6,
            "data.x",
            "level: input should be 'required', 'highly_recommended' or 'optional', got 'must'",
            id="bad level",
        ),
        pytest.param(
            "  - from: userId\n    doc: d\n", 5, None, "key is missing", id="row without a key"
        ),
        pytest.param(
            "  - key: data.x\n    from: userId\n",
            5,
            "data.x",
            "doc is missing: say in a sentence what the row is for",
            id="row without a doc",
        ),
        pytest.param(
            "  - {key: data.x, from: a, doc: d}\n  - {key: name, from: b, doc: d}\n"
            "  - {key: data.x, from: c, doc: d}\n",
            7,
            "data.x",
            "two rows have this key; merge them into one",
            id="two rows for one key",
        ),
        pytest.param(
            "  - {key: data.x, from: a, doc: d}\n  - {key: 'data.\"x\"', from: c, doc: d}\n",
            6,
            'data."x"',
            "two rows have this key; merge them into one",
            id="two rows for one key that is spelled in two ways",
        ),
        pytest.param(
            "  - {key: data.x, from: userId, value: 1, doc: d}\n",
            5,
            "data.x",
            ONE_SOURCE,
            id="both from and value",
        ),
        pytest.param(
            "  - {key: data.x, doc: d}\n",
            5,
            "data.x",
            ONE_SOURCE,
            id="neither from nor value",
        ),
        pytest.param(
            "  - key: data.x\n    value: a\n    doc: d\n    apply: [text]\n",
            8,
            "data.x",
            "apply goes with from; write the value as it shall be",
            id="apply with value",
        ),
        pytest.param(
            "  - key: data.x\n    doc: d\n    from: [userId, properties..x]\n",
            7,
            "data.x",
            NO_PATH.format("properties..x"),
            id="bad path",
        ),
        pytest.param(
            "  - key: data.x\n    doc: d\n    from: properties.order id\n",
            7,
            "data.x",
            "'properties.order id' is no path: expected a dot at character 17",
            id="path with a space",
        ),
        pytest.param(
            "  - doc: d\n    from: userId\n    key: data.\n",
            7,
            "data.",
            NO_PATH.format("data."),
            id="key that is no path",
        ),
        pytest.param(
            '  - {key: "", value: 1, doc: d}\n', 5, None, NO_PATH.format(""), id="empty key"
        ),
        pytest.param(
            "  - {key: data, from: a, doc: d, apply: [object],\n     except: [x]}\n",
            6,
            "data",
            "except goes with the key * alone",
            id="except without a star",
        ),
        pytest.param(
            "  - {key: data.x*, from: a, doc: d, except: [x]}\n",
            5,
            "data.x*",
            "except goes with the key * alone",
            id="except with a key that only ends in a star",
        ),
        pytest.param(
            '  - {key: "data.*", from: properties, doc: d}\n',
            5,
            "data.*",
            "a row with the key * needs apply: [object]",
            id="star without object",
        ),
        pytest.param(
            "  - {key: 'data.\"*\"', from: properties, doc: d}\n",
            5,
            'data."*"',
            "a row with the key * needs apply: [object]",
            id="quoted star without object",
        ),
        pytest.param(
            '  - {key: "data.*.x", from: properties, doc: d}\n',
            5,
            "data.*.x",
            "* stands for every key of an object: nothing goes below it",
            id="key below a star",
        ),
        pytest.param(
            "  - {key: data.x, from: [], doc: d}\n",
            5,
            "data.x",
            "from is empty: name an input, such as properties.total",
            id="empty from",
        ),
        pytest.param(
            "  - {key: data.x, from: 5, doc: d}\n",
            5,
            "data.x",
            f"from: expected a path or an object with the keys {INPUT_KEYS}, got 5",
            id="from that is a number",
        ),
        pytest.param(
            "  - key: data.x\n    doc: d\n    from:\n      - userId\n      - apply: [text]\n",
            9,
            "data.x",
            "an entry of from has exactly one of path, value and expr",
            id="input without a path",
        ),
        pytest.param(
            "  - data.x\n",
            5,
            None,
            f"rows: expected an object with the keys {ROW_KEYS}, got 'data.x'",
            id="row that is text",
        ),
        pytest.param(
            "  - key: data.x\n    from: a\n    apply: text\n    doc: d\n",
            7,
            "data.x",
            "apply: input should be a valid list, got 'text'",
            id="apply that is no list",
        ),
        pytest.param(
            "  - {key: nope, remove: true}\n",
            5,
            "nope",
            "there is no such row to remove; there are none",
            id="removal from a new table",
        ),
        pytest.param(
            "  - key: data.n\n    doc: d\n    value: .NaN\n",
            7,
            "data.n",
            "value: JSON has no nan: write null or text",
            id="constant that is not a number",
        ),
        pytest.param(
            "  - {key: data.n, doc: d, value: [1, {a: -.inf}]}\n",
            5,
            "data.n",
            "value: JSON has no -inf: write null or text",
            id="infinity within a constant",
        ),
        pytest.param(
            "  - {key: data.n, doc: d, value: 18446744073709551616}\n",
            5,
            "data.n",
            "value: 18446744073709551616 is beyond 64 bits: write it as text",
            id="constant beyond 64 bits",
        ),
        pytest.param(
            '  - {key: data.n, doc: d, value: {"a\\0": 1}}\n',
            5,
            "data.n",
            "value: holds a null byte (U+0000): remove it",
            id="null byte in a constant",
        ),
        pytest.param(
            f"  - {{key: data.n, doc: d, value: {'[' * 33}{']' * 33}}}\n",
            5,
            "data.n",
            "value: nests deeper than 32 levels: flatten it",
            id="constant that nests too deep",
        ),
        pytest.param(
            '  - {key: "data.\\0", doc: d, value: 1}\n',
            5,
            "data.\0",
            "holds a null byte (U+0000): remove it",
            id="null byte in a key",
        ),
    ],
)
def test_a_mistake_in_a_row_is_named_by_line_and_row(
    row: str, line: int, named: str | None, problem: str
) -> None:
    shown = f"views.{named}" if named else "number 1"
    assert mistakes(HEAD + row) == [f"views.yaml:{line} (row {shown}): {problem}"]


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        pytest.param(
            "table: t\ndoc: d\nevents: [page]\nrow: []\nrows: []\n",
            4,
            f"unknown key 'row'; there are {TABLE_KEYS}",
            id="unknown key in a table",
        ),
        pytest.param("doc: d\nevents: [page]\nrows: []\n", 1, "table is missing", id="no name"),
        pytest.param(
            "doc: d\ntable: ' '\nevents: [page]\nrows: []\n",
            2,
            "table is blank: give the table a name",
            id="blank name",
        ),
        pytest.param("table: t\ndoc: d\nevents: [page]\n", 1, "rows is missing", id="no rows"),
        pytest.param(
            "table: t\ndoc: d\nevents: [page]\nrows:\n",
            4,
            "rows: input should be a valid list, got None",
            id="rows left empty",
        ),
        pytest.param(
            "table: t\nevents: [page]\nrows: []\n",
            1,
            "doc is missing: say in a sentence what the table is for",
            id="no doc",
        ),
        pytest.param(
            "table: t\ndoc: d\nrows: []\n",
            1,
            f"events is missing: {LIST_EVENTS}",
            id="no events",
        ),
        pytest.param(
            "table: t\ndoc: d\nrows: []\nevents:\n  - page\n  - visit\n",
            6,
            f"events: input should be {EVENTS}, got 'visit'",
            id="unknown event type",
        ),
        pytest.param(
            "table: t\ndoc: d\nrows: []\nevents: page\n",
            4,
            "events: input should be a valid list, got 'page'",
            id="events that are no list",
        ),
        pytest.param(
            "table: 5\ndoc: d\nevents: [page]\nrows: []\n",
            1,
            "table: input should be a valid string, got 5",
            id="name that is a number",
        ),
        pytest.param(
            "- table: t\n",
            1,
            "expected a table with the keys table, doc, events and rows",
            id="list at the top",
        ),
        pytest.param(
            "", 1, "expected a table with the keys table, doc, events and rows", id="empty file"
        ),
        pytest.param(
            "# nothing yet\n",
            1,
            "expected a table with the keys table, doc, events and rows",
            id="comment alone",
        ),
        pytest.param(
            "table: t\ndoc: a: b\n",
            2,
            "mapping values are not allowed in this context",
            id="not YAML",
        ),
        pytest.param(
            "table: t\ndoc: d\nevents: [page]\ndoc: e\nrows: []\n",
            4,
            "the key 'doc' stands twice",
            id="key of a table twice",
        ),
        pytest.param(
            f"{HEAD}  - key: name\n    from: userId\n    doc: d\n    from: event\n",
            8,
            "the key 'from' stands twice",
            id="key of a row twice",
        ),
        pytest.param(
            "table: t\nrows:\n\t- key: name\n",
            3,
            "found character that cannot start any token",
            id="tab",
        ),
        pytest.param("table: t\n5: x\n", 2, "a key must be text: quote '5'", id="number as a key"),
        pytest.param(
            "table: t\n---\ntable: u\n", 2, "but found another document", id="two documents"
        ),
        pytest.param(
            "table: t\nevents: !!int x\n", 2, "'x' can't be read as int", id="tag that doesn't fit"
        ),
        pytest.param(
            "table: t\nrows: &a [*a]\n",
            2,
            "nests deeper than 100 levels, or an alias (*) stands within its anchor (&)",
            id="alias within its anchor",
        ),
        pytest.param(
            f"rows: {'[' * 900}{']' * 900}\n",
            1,
            "nests deeper than 100 levels, or an alias (*) stands within its anchor (&)",
            id="deep nesting",
        ),
    ],
)
def test_a_mistake_outside_the_rows_is_named_by_line(text: str, line: int, problem: str) -> None:
    assert mistakes(text, "t.yaml") == [f"t.yaml:{line}: {problem}"]


def test_every_mistake_of_the_first_reading_is_named_at_once() -> None:
    text = (
        "table: t\ntitle: x\nevents: [visit]\nrows:\n  - {kee: name, doc: d}\n"
        "  - {key: data.x, level: must, from: {paht: a}, doc: d}\n"
    )
    assert mistakes(text, "t.yaml") == [
        f"t.yaml:3: events: input should be {EVENTS}, got 'visit'",
        "t.yaml:5 (row number 1): key is missing",
        f"t.yaml:5 (row number 1): unknown key 'kee'; there are {ROW_KEYS}",
        "t.yaml:6 (row t.data.x): level: input should be 'required', 'highly_recommended' or "
        "'optional', got 'must'",
        f"t.yaml:6 (row t.data.x): unknown key 'paht'; there are {INPUT_KEYS}",
        f"t.yaml:2: unknown key 'title'; there are {TABLE_KEYS}",
    ]


def test_every_mistake_of_the_second_reading_is_named_at_once() -> None:
    text = (
        "table: t\nrows:\n  - {key: data.x, from: a..b, apply: [shout], value: 1}\n"
        "  - {key: data, value: {}, doc: d}\n  - {key: gone, remove: true}\n"
    )
    # fmt: off
    assert [problem.split(":", 2)[1:] for problem in mistakes(text, "t.yaml")] == [
        ["1", f" events is missing: {LIST_EVENTS}"],
        ["1", " doc is missing: say in a sentence what the table is for"],
        ["3 (row t.data.x)", f" {ONE_SOURCE}"],
        ["3 (row t.data.x)", " apply goes with from; write the value as it shall be"],
        ["3 (row t.data.x)", " doc is missing: say in a sentence what the row is for"],
        ["3 (row t.data.x)", f" there is no transform 'shout'; there are {KNOWN_TRANSFORMS}"],
        ["3 (row t.data.x)", " " + NO_PATH.format("a..b")],
        ["5 (row t.gone)", " there is no such row to remove; there are none"],
    ]
    # fmt: on


def test_the_mistakes_of_several_files_are_named_at_once() -> None:
    assert overlay_mistakes(
        ("a.yaml", "table: page\nrows:\n  - {key: name, from: userId}\n"),
        ("b.yaml", "- x\n"),
    ) == [
        "a.yaml:3 (row page.name): doc is missing: say in a sentence what the row is for",
        "b.yaml:1: expected a table with the keys table, doc, events and rows",
    ]


def test_an_overlay_cannot_change_the_events_of_a_table() -> None:
    assert overlay_mistakes(("o.yaml", "table: page\nrows: []\nevents: [page, screen]\n")) == [
        "o.yaml:3: the table page has its events already; leave events out"
    ]


def test_a_removal_with_other_keys_is_rejected() -> None:
    assert overlay_mistakes(
        ("o.yaml", "table: page\nrows:\n  - {key: name, remove: true, from: name}\n")
    ) == ["o.yaml:3 (row page.name): a row with remove: true has only key and remove"]


def test_a_mistake_reads_as_file_line_row_and_problem() -> None:
    assert str(Mistake("a/b.yaml", 3, "t.k", "no")) == "a/b.yaml:3 (row t.k): no"
    assert str(Mistake("a/b.yaml", 3, None, "no")) == "a/b.yaml:3: no"


def test_a_mistake_is_named_once_however_often_it_is_made() -> None:
    row = "  - {key: data.x, from: a, apply: [shout, shout], doc: d}\n"
    assert mistakes(HEAD + row) == [
        "views.yaml:5 (row views.data.x): there is no transform 'shout'; there are "
        + KNOWN_TRANSFORMS
    ]


def test_the_transforms_of_an_input_go_before_those_of_its_row() -> None:
    row = "  - {key: data.x, from: [{path: a, apply: [text]}, b], apply: [email_sha256], doc: d}\n"
    table = parse(HEAD + row, "views.yaml")
    assert isinstance(table, Table)
    inputs = table.rows[0].inputs
    assert [(source.path, source.apply) for source in inputs] == [
        ("a", ("text", "email_sha256")),
        ("b", ("email_sha256",)),
    ]


def test_table_error_lists_at_most_a_hundred_mistakes() -> None:
    text = "table: page\n" + "".join(f"k{number}: 1\n" for number in range(300))
    with pytest.raises(TableError) as caught:
        load_profile("standard", [("page.yaml", text)])
    *_, last = str(caught.value).splitlines()
    assert last == "200 more mistakes are not listed"


def test_no_row_to_remove_names_a_bounded_number_of_rows() -> None:
    rows = "".join(f"  - {{key: data.k{n}, value: 1, doc: d}}\n" for n in range(500))
    remove = "table: page\nrows:\n  - {key: data.none, remove: true}\n"
    with pytest.raises(TableError) as caught:
        load_profile("standard", [("a.yaml", f"table: page\nrows:\n{rows}"), ("b.yaml", remove)])
    assert "there is no such row to remove" in str(caught.value)
    assert "data.k499" not in str(caught.value)
