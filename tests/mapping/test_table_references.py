"""Tables that name each other: what is not there, runs in a circle, or can't be told apart."""

from __future__ import annotations

import re
from typing import Any

import pytest
from cio_sidecar.mapping.authoring.profiles import load_profile
from cio_sidecar.mapping.authoring.reader import MAX_CHARACTERS
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.operations import OPERATIONS

from tests.mapping.support import EVENT_ROWS, items, load, mistakes

HEAD = "table: t\ndoc: d\nevents: [alias]\noperation: event\n"
ROWS = f"rows:\n{EVENT_ROWS}"
DOCUMENTED = ", ".join(load_profile("documented").tables)


def named(name: str, *more: str) -> str:
    """A table of its own for aliases, which the profile documented has no table for."""
    keys = "".join(f"{line}\n" for line in more)
    return f"table: {name}\ndoc: d\nevents: [alias]\noperation: event\n{keys}{ROWS}"


# Names of tables


@pytest.mark.parametrize("key", ["extends", "otherwise", "also"])
def test_a_table_that_is_not_there_is_named_with_those_that_are(key: str) -> None:
    assert mistakes(f"{HEAD}{key}: gone\n{ROWS}", profile="documented") == [
        f"0.yaml:5: {key}: there is no table 'gone'; there are {DOCUMENTED}, t"
    ]


def test_every_unknown_table_is_named_at_once() -> None:
    text = f"{HEAD}also:\n  - a\n  - default\n  - b\notherwise: c\n{ROWS}"
    assert [re.split("[:;]", mistake)[1:4] for mistake in mistakes(text)] == [
        ["9", " otherwise", " there is no table 'c'"],
        ["5", " also", " there is no table 'a'"],
        ["5", " also", " there is no table 'b'"],
    ]


@pytest.mark.parametrize("key", ["extends", "otherwise", "also"])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_a_circle_is_shown_from_each_table_in_it(key: str, length: int) -> None:
    names = "abc"[:length]
    ring = {name: names[(index + 1) % length] for index, name in enumerate(names)}
    texts = [
        named(name, f"{key}: {ring[name]}").replace("events: [alias]", "events: []")
        for name in names
    ]
    expected = []
    for index, name in enumerate(names):
        way = [name]
        while len(way) == 1 or way[-1] != name:
            way.append(ring[way[-1]])
        expected.append(f"{index}.yaml:5: {key} runs in a circle: {' → '.join(way)}")
    assert mistakes(*texts, profile="documented") == expected


def test_a_table_that_leads_into_a_circle_is_not_in_it() -> None:
    outer, inner = named("outer", "when: {x: 1}", "also: inner"), named("inner", "also: inner")
    assert mistakes(outer, inner, profile="documented") == [
        "1.yaml:5: also runs in a circle: inner → inner"
    ]


def test_a_reference_that_an_overlay_adds_to_a_table_of_the_profile_is_told_by_its_file() -> None:
    assert mistakes("table: device\notherwise: gone\n")[0].startswith(
        "0.yaml:2: otherwise: there is no table 'gone'; there are default, "
    )


def test_otherwise_leads_to_a_table_for_every_event() -> None:
    texts = [named("a", "otherwise: b"), named("b", "when: {x: 1}")]
    assert mistakes(*texts, profile="documented") == [
        "0.yaml:5: otherwise: the table b is not for every event (when): name another"
    ]


def test_what_follows_sends_something() -> None:
    dropped = "table: b\ndoc: d\nevents: []\ndrop: true\n"
    assert mistakes(named("a", "also: b"), dropped, profile="documented") == [
        "0.yaml:5: also: the table b sends nothing (drop: true); leave it out"
    ]


def test_the_removal_of_a_table_that_others_need_names_the_one_that_needs_it() -> None:
    found = mistakes("table: default\nremove: true\n")
    assert [mistake.partition(";")[0] for mistake in found] == [
        "standard/device.yaml:7: otherwise: there is no table 'default'",
        "standard/device_deleted.yaml:7: otherwise: there is no table 'default'",
    ]


def test_the_removal_of_a_table_that_is_not_there_lists_those_that_are() -> None:
    assert mistakes("table: gone\nremove: true\n", profile="documented") == [
        f"0.yaml:1: there is no table 'gone' to remove; there are {DOCUMENTED}"
    ]


@pytest.mark.parametrize("more", ["doc: d", "rows: []", "events: [page]", "drop: true"])
def test_a_table_that_is_removed_says_nothing_else(more: str) -> None:
    assert mistakes(f"table: page\nremove: true\n{more}\n") == [
        "0.yaml:1: a table with remove: true has only table and remove"
    ]


def test_a_table_can_be_removed_and_written_anew() -> None:
    anew = f"table: alias\ndoc: d\nevents: [alias]\noperation: event\n{ROWS}"
    tables = load("table: alias\nremove: true\n", anew)
    assert [item["name"] for item in items(tables, type="alias")] == ["Made"]


# Tables that can't be told apart


def test_two_tables_that_would_take_every_event_of_a_type_are_rejected() -> None:
    text = f"table: mine\ndoc: d\nevents: [alias, page]\noperation: event\n{ROWS}"
    assert mistakes(text) == [
        f"0.yaml:1: the table {theirs} takes every {event_type} event already: give when, change "
        f"that table (table: {theirs}), or take it out (remove: true)"
        for event_type, theirs in (("page", "page"), ("alias", "alias"))
    ]


def test_a_table_that_drops_every_event_of_a_type_is_one_of_them() -> None:
    text = "table: mine\ndoc: d\nevents: [alias]\ndrop: true\n"
    assert [mistake.partition(":")[0] for mistake in mistakes(text)] == ["0.yaml"]
    load(text.replace("drop", "when: {x: 1}\ndrop"))


def test_tables_for_no_event_are_never_confused() -> None:
    texts = [named(name).replace("[alias]", "[]") for name in "ab"]
    assert {"a", "b"} <= load(*texts).tables.keys()


# What a table says of itself


@pytest.mark.parametrize("name", ["evnt", "", "Event", "identify "])
def test_an_unknown_operation_is_named_with_those_that_are(name: str) -> None:
    text = f"table: t\ndoc: d\nevents: [alias]\noperation: '{name}'\n{ROWS}"
    assert mistakes(text, profile="documented") == [
        f"0.yaml:4: there is no operation {name!r}; there are {', '.join(OPERATIONS)}"
    ]


@pytest.mark.parametrize("key", ["events: [page]", "extends: page", "operation: event"])
def test_an_overlay_cannot_make_another_table_of_one(key: str) -> None:
    name = key.partition(":")[0]
    assert mistakes(f"table: default\nrows: []\n{key}\n") == [
        f"0.yaml:3: the table default has its {name} already; leave {name} out"
    ]


@pytest.mark.parametrize(
    "more", [ROWS, "operation: event\n", "also: default\n", "otherwise: default\n"]
)
def test_a_table_that_drops_its_events_has_nothing_to_send(more: str) -> None:
    text = f"table: t\ndoc: d\nevents: [page]\nwhen: {{name: x}}\ndrop: true\n{more}"
    assert mistakes(text) == [
        "0.yaml:5: a table with drop: true sends nothing: leave rows, operation, also, otherwise "
        "out"
    ]


def test_an_overlay_that_changes_nothing_is_rejected() -> None:
    assert mistakes("table: page\n") == [
        "0.yaml:1: nothing is changed: give rows, or another key of the table"
    ]


def test_a_table_must_list_its_events_or_extend_one_that_does() -> None:
    text = f"table: t\ndoc: d\noperation: event\n{ROWS}"
    assert mistakes(text, profile="documented") == [
        "0.yaml:1: events is missing: list the event types that the table is for (events: [page]), "
        f"or extend a table that is there: {DOCUMENTED}"
    ]
    # With extends it is for the same events, and then one table too many takes them all.
    (mistake,) = mistakes("table: t\ndoc: d\nextends: page\n")
    assert mistake.startswith("0.yaml:1: the table page takes every page event already")


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("drop", "drop: input should be a valid boolean, got None"),
        ("also", "also: input should be a valid list, got None"),
        ("doc", "doc: input should be a valid string, got None"),
        ("remove", "remove: input should be a valid boolean, got None"),
        (
            "when",
            "when: expected paths with their values (event: [Order Completed]) or CEL text",
        ),
    ],
)
def test_a_key_that_is_left_empty_is_a_mistake(key: str, what: str) -> None:
    text = f"table: t\nevents: [alias]\noperation: event\n{key}:\n{ROWS}"
    text += "" if key == "doc" else "doc: d\n"
    assert mistakes(text, profile="documented") == [f"0.yaml:4: {what}"]


# Conditions


@pytest.mark.parametrize(
    ("when", "what"),
    [
        ("5", "expected paths with their values (event: [Order Completed]) or CEL text"),
        ("[event]", "expected paths with their values (event: [Order Completed]) or CEL text"),
        ("{}", "expected paths with their values (event: [Order Completed]) or CEL text"),
        ("{event: []}", "expected a value or a list of values for event"),
        ("{event: {a: 1}}", "expected a value or a list of values for event"),
        ("{event: [[x]]}", "expected a value or a list of values for event"),
        (
            "{a..b: 1}",
            "'a..b' is no path: write keys joined by dots (context.page.url), a key with a dot or "
            'space in it in double quotes (properties."order.id")',
        ),
        ("event.size()", "expected an expression that is true or false, got int"),
        ("'\"x\"'", "expected an expression that is true or false, got string"),
        ("'event.x == 1 &&'", "at character 16: Syntax error"),
        ("evnt == 1", "at character 1: undeclared reference to 'evnt'"),
    ],
)
def test_a_condition_that_can_never_be_told_is_a_mistake(when: str, what: str) -> None:
    table = f"{HEAD}when: {when}\n{ROWS}"
    (mistake,) = mistakes(table, profile="documented")
    assert mistake.startswith(f"0.yaml:5: when: {what}")
    row = f"  - key: data.x\n    value: 1\n    doc: d\n    when: {when}\n"
    (mistake,) = mistakes(f"table: default\nrows:\n{row}")
    assert mistake.startswith(f"0.yaml:6 (row default.data.x): when: {what}")


# Files


def test_a_file_of_ten_megabytes_is_rejected_by_its_size() -> None:
    text = f"{HEAD}rows:\n" + "  - {key: data.x, value: 1, doc: d}\n" * 300_000
    assert len(text) > 10_000_000
    assert mistakes(text) == [
        f"0.yaml:1: {len(text):,} characters, the limit is {MAX_CHARACTERS:,}: split the table"
    ]


def test_a_file_as_large_as_may_be_is_read() -> None:
    row = "  - {{key: data.x{:05}, value: 1, doc: {}}}\n"
    rows = "".join(row.format(number, "d" * 950) for number in range(1_000))
    text = f"{HEAD}{ROWS}{rows}"
    text += "#" * (MAX_CHARACTERS - len(text))
    (made,) = items(load(text, profile="documented"), type="alias")
    assert len(made["attributes"]) == 1_000
    assert len(mistakes(text + "#", profile="documented")) == 1


@pytest.mark.parametrize("key", ["5", "null", "true", "1.5", "[a]", "{a: b}"])
def test_a_key_that_is_no_text_is_named_by_its_line(key: str) -> None:
    (mistake,) = mistakes(f"{HEAD}? {key}\n: x\n{ROWS}")
    assert mistake.startswith("0.yaml:5: a key must be text")


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        (f"{HEAD}events: [page]\n{ROWS}", 5, "events"),
        (f"{HEAD}when:\n  a: 1\n  b: 2\n  a: 3\n{ROWS}", 8, "a"),
        (f"{HEAD}rows:\n  - {{key: data.x, value: {{a: 1, a: 2}}, doc: d}}\n", 6, "a"),
    ],
)
def test_a_key_that_stands_twice_is_named_by_its_line(text: str, line: int, key: str) -> None:
    assert mistakes(text) == [f"0.yaml:{line}: the key {key!r} stands twice"]


MISTAKES: tuple[tuple[str, dict[str, Any]], ...] = (
    (f"{HEAD}extends: gone\n{ROWS}", {"line": 5}),
    (f"{HEAD}rows:\n  - {{key: plan, value: x, doc: d}}\n", {"line": 6, "row": "t.plan"}),
    (f"{HEAD}rows:\n  - {{key: id, doc: d}}\n", {"line": 6, "row": "t.id"}),
    (
        f"{HEAD}rows:\n  -\n    doc: d\n    key: data.x\n    expr: 1 +\n",
        {"line": 9, "row": "t.data.x"},
    ),
    (f"{HEAD}rows:\n  - {{key: type, value: x, doc: d}}\n", {"line": 6, "row": "t.type"}),
)


@pytest.mark.parametrize(("text", "place"), MISTAKES)
def test_a_mistake_names_file_line_and_row_and_says_what_would_be_right(
    text: str, place: dict[str, Any]
) -> None:
    with pytest.raises(TableError) as caught:
        load_profile("documented", [("shop/mine.yaml", text)])
    first = caught.value.mistakes[0]
    assert (first.file, first.line, first.row) == (
        "shop/mine.yaml",
        place["line"],
        place.get("row"),
    )
    assert re.search(r"there are |one of |exactly one |expect| or ", first.problem)
