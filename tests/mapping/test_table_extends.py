"""Tables that begin with rows of another, rows taken out, rows for some events alone, constants."""

from __future__ import annotations

from typing import Any

import pytest
from cio_sidecar.mapping.authoring.profiles import TableSet

from tests.mapping.support import items, load, mistakes, rejections, render

MINE = (
    "table: mine\ndoc: d\nextends: default\nwhen: {event: mine}\nrows:\n"
    "  - {key: data.mine, value: 1, doc: d}\n"
)


def data(tables: TableSet, event: str = "mine", **properties: Any) -> Any:
    """The data of the one event that is sent for a track."""
    (made,) = items(tables, type="track", event=event, properties=properties)
    return made.get("attributes", {})


def keys(tables: TableSet, name: str) -> list[str]:
    return [row.key for row in tables.tables[name].rows]


# extends


def test_a_table_begins_with_the_rows_events_and_operation_of_the_one_it_extends() -> None:
    tables = load(MINE)
    base, mine = tables.tables["default"], tables.tables["mine"]
    assert (mine.events, mine.operation) == (base.events, base.operation)
    assert [row.name for row in mine.rows] == [*(row.name for row in base.rows), "mine.data.mine"]
    assert data(tables, a=2) == {"a": 2, "userId": "u", "mine": 1}
    assert data(tables, "other", a=2) == {"a": 2, "userId": "u"}


def test_what_steers_the_extended_table_is_not_taken_over() -> None:
    text = "table: mine\ndoc: d\nextends: device\nwhen: {event: mine}\n"
    mine = load(text).tables["mine"]
    assert (mine.otherwise, mine.also, mine.drop) == (None, (), False)
    assert rejections(load(text), type="track", event="mine", context={}) == [
        ("context.device.token", "REQUIRED"),
        ("context.device.type", "REQUIRED"),
    ]


def test_a_table_may_be_for_other_events_and_another_operation() -> None:
    text = (
        "table: mine\ndoc: d\nextends: group\nevents: [alias]\noperation: identify_object_alone\n"
    )
    tables = load("table: alias\nremove: true\n", text)
    (made,) = items(tables, type="alias", groupId="g", traits={"a": 1})
    assert made == {
        "type": "object",
        "identifiers": {"object_type_id": "1", "object_id": "g"},
        "action": "identify",
        "attributes": {"a": 1},
    }
    assert "person" not in keys(tables, "mine")


def test_rows_that_the_operation_does_not_know_are_left_behind_but_not_ones_own() -> None:
    text = "table: mine\ndoc: d\nextends: group\noperation: delete_object\nwhen: {x: 1}\n"
    assert keys(load(text), "mine") == ["object_type_id", "object_id"]
    (mistake,) = mistakes(f"{text}rows:\n  - {{key: person, from: a, doc: d}}\n")
    assert mistake.startswith("0.yaml:7 (row mine.person): the operation delete_object has no key")


def test_tables_may_extend_tables_that_extend_others() -> None:
    text = "table: {0}\ndoc: d\nextends: {1}\nwhen: {{event: {0}}}\nrows:\n"
    row = "  - {{key: data.{0}, value: 1, doc: d}}\n"
    texts = [(text + row).format(name, base) for name, base in (("c", "b"), ("b", "a"))]
    tables = load(*texts, (text + row).format("a", "default"))
    assert [data(tables, name) for name in "abc"] == [
        {"userId": "u", "a": 1},
        {"userId": "u", "a": 1, "b": 1},
        {"userId": "u", "a": 1, "b": 1, "c": 1},
    ]


def test_what_a_later_file_does_to_the_extended_table_holds_for_those_that_extend_it() -> None:
    later = "table: default\nrows:\n  - {key: data.late, value: 1, doc: d}\n"
    removal = "table: default\nrows:\n  - {key: data.userId, remove: true}\n"
    for texts in ((MINE, later, removal), (later, removal, MINE)):
        tables = load(*texts)
        assert data(tables) == {"late": 1, "mine": 1}
        assert data(tables, "other") == {"late": 1}


def test_a_row_of_the_table_replaces_that_of_the_extended_one_in_its_place() -> None:
    text = MINE.replace("data.mine, value: 1", "data.userId, value: me")
    later = "table: default\nrows:\n  - {key: data.userId, from: anonymousId, doc: d}\n"
    for texts in ((text, later), (later, text)):
        tables = load(*texts)
        assert keys(tables, "mine") == keys(tables, "default")
        assert data(tables) == {"userId": "me"}


def test_an_extended_table_is_not_changed_by_those_that_extend_it() -> None:
    assert load(MINE).tables["default"] == load().tables["default"]


def test_a_row_is_named_by_the_table_that_states_it() -> None:
    text = (
        "table: default\nrows:\n  - {key: data.need, level: required, from: properties.n, doc: d}\n"
    )
    result = rejections(load(text, MINE), type="track", event="mine")
    assert result == [("properties.n", "REQUIRED")]
    rows = load(text, MINE).tables["mine"].rows
    assert [(row.name, row.origin) for row in rows if row.key.startswith("data.")] == [
        ("default.data.userId", "documented/default.yaml"),
        ("default.data.need", "0.yaml"),
        ("mine.data.mine", "1.yaml"),
    ]


# Rows that are taken out


def test_a_row_of_the_extended_table_can_be_taken_out() -> None:
    text = f"{MINE}  - {{key: data.userId, remove: true}}\n"
    tables = load(text)
    assert data(tables) == {"mine": 1}
    assert data(tables, "other") == {"userId": "u"}


def test_a_row_that_a_later_file_adds_to_the_extended_table_can_be_taken_out() -> None:
    text = f"{MINE}  - {{key: data.late, remove: true}}\n"
    later = "table: default\nrows:\n  - {key: data.late, value: 1, doc: d}\n"
    for texts in ((text, later), (later, text)):
        assert data(load(*texts)) == {"userId": "u", "mine": 1}


def test_a_later_file_can_take_out_a_row_of_a_table_that_extends_another() -> None:
    tables = load(MINE, "table: mine\nrows:\n  - {key: data.mine, remove: true}\n")
    assert data(tables) == {"userId": "u"}


def test_what_was_taken_out_can_be_put_back() -> None:
    removal = "table: mine\nrows:\n  - {key: data.userId, remove: true}\n"
    back = "table: mine\nrows:\n  - {key: data.userId, value: back, doc: d}\n"
    assert data(load(MINE, removal)) == {"mine": 1}
    assert data(load(MINE, removal, back)) == {"mine": 1, "userId": "back"}


@pytest.mark.parametrize("name", ["default", "mine"])
def test_a_row_that_is_not_there_is_named_with_those_that_are(name: str) -> None:
    held = ", ".join(keys(load(), "default"))
    text = (
        f"table: {name}\nrows:\n  - {{key: name, remove: true}}\n  - {{key: gone, remove: true}}\n"
    )
    texts = [MINE, text] if name == "mine" else [text]
    (mistake,) = [m for m in mistakes(*texts) if "(row" in m]
    file = f"{len(texts) - 1}.yaml"
    assert mistake.startswith(f"{file}:4 (row {name}.gone): there is no such row to remove; there ")
    assert mistake.endswith(f"are {held}") or mistake.endswith(f"are {held}, data.mine")


def test_removing_a_row_lists_those_that_are_there() -> None:
    text = "table: page\nrows:\n  - {key: title, remove: true}\n"
    assert mistakes(text) == [
        "0.yaml:3 (row page.title): there is no such row to remove; there are data, name, id, "
        "data.userId, timestamp, type"
    ]


def test_the_spelling_of_a_key_does_not_matter_to_remove_it() -> None:
    tables = load('table: default\nrows:\n  - {key: \'"data"."userId"\', remove: true}\n')
    assert data(tables, "e", a=1) == {"a": 1}


# Rows for some events alone


def conditional(when: str, level: str = "optional", source: str = "from: properties.b") -> TableSet:
    row = f"  - {{key: data.x, level: {level}, {source}, doc: d, when: {when}}}\n"
    return load(f"table: default\nrows:\n{row}")


@pytest.mark.parametrize(
    "when", ["{properties.a: 1}", "{properties.a: [0, 1], event: mine}", "event.properties.a == 1"]
)
@pytest.mark.parametrize("source", ["from: properties.b", "value: 5", "expr: 2 + 3"])
def test_a_row_stands_for_the_events_of_its_condition_alone(when: str, source: str) -> None:
    tables = conditional(when, source=source)
    assert data(tables, a=1, b=5)["x"] == 5
    assert "x" not in data(tables, a=2, b=5)
    assert "x" not in data(tables, b=5)


@pytest.mark.parametrize("when", ["{properties.a: 1}", "event.properties.a == 1"])
def test_a_required_row_rejects_the_events_of_its_condition_alone(when: str) -> None:
    tables = conditional(when, level="required")
    assert data(tables, a=1, b=5)["x"] == 5
    assert data(tables, a=2) == {"a": 2, "userId": "u"}
    event = {"type": "track", "event": "mine", "properties": {"a": 1}}
    assert rejections(tables, **event) == [("properties.b", "REQUIRED")]


def test_a_row_that_does_not_stand_draws_no_warning() -> None:
    row = "  - {key: data.x, from: properties.b, apply: [text], doc: d, when: {properties.a: 1}}\n"
    tables = load(f"table: default\nrows:\n{row}")
    for a, fields in ((1, ["properties.b"]), (2, [])):
        made = render(tables, type="track", event="e", properties={"a": a, "b": 5})
        assert [warning.field for warning in made.warnings] == fields


def test_a_row_that_does_not_stand_makes_a_table_give_way_to_no_other() -> None:
    row = (
        "  - {key: data.x, level: required, from: properties.b, doc: d, when: {properties.a: 1}}\n"
    )
    helper = "table: helper\ndoc: d\nextends: default\nevents: []\n"
    helper += "rows:\n  - {key: name, value: gave way, doc: d}\n"
    tables = load(MINE.replace("rows:\n", "otherwise: helper\nrows:\n") + row, helper)
    for properties, name in (
        ({"a": 2}, "mine"),
        ({"a": 1}, "gave way"),
        ({"a": 1, "b": 1}, "mine"),
    ):
        (made,) = items(tables, type="track", event="mine", properties=properties)
        assert made["name"] == name


def test_without_a_row_for_what_the_operation_needs_an_event_is_rejected() -> None:
    text = "table: default\nrows:\n  - {key: name, from: event, doc: d, when: {properties.a: 1}}\n"
    tables = load(text)
    assert data(tables, "e", a=1) == {"a": 1, "userId": "u"}
    event = {"type": "track", "event": "e", "properties": {"a": 2}}
    assert rejections(tables, **event) == [("event", "REQUIRED")]


# Constants at the end of from


@pytest.mark.parametrize("level", ["required", "optional"])
@pytest.mark.parametrize("apply", ["", ", apply: [text]"])
@pytest.mark.parametrize(
    ("properties", "value"),
    [
        ({"a": "x"}, "x"),
        ({"b": "y"}, "y"),
        ({"a": None, "b": "y"}, "y"),
        ({}, "none"),
        ({"a": None}, "none"),
        (None, "none"),
    ],
)
def test_a_constant_is_taken_where_no_path_gives_a_value(
    level: str, apply: str, properties: Any, value: str
) -> None:
    row = f"from: [properties.a, properties.b, {{value: none}}]{apply}, level: {level}"
    tables = load(f"table: default\nrows:\n  - {{key: data.x, {row}, doc: d}}\n")
    (made,) = items(tables, type="track", event="e", properties=properties)
    assert made["attributes"]["x"] == value


def test_transforms_are_for_the_paths_and_not_for_the_constant() -> None:
    row = "from: [{path: properties.a, apply: [text]}, {value: [1, {b: null}]}]"
    row += ", apply: [email_sha256]"
    tables = load(f"table: default\nrows:\n  - {{key: data.x, {row}, doc: d}}\n")
    assert data(tables)["x"] == [1, {"b": None}]
    assert len(data(tables, a="ann@example.com")["x"]) == 64


def test_a_value_that_no_transform_takes_is_replaced_by_the_constant_with_a_warning() -> None:
    row = "from: [properties.a, {value: 0}], apply: [unix_seconds]"
    tables = load(f"table: default\nrows:\n  - {{key: data.x, {row}, doc: d}}\n")
    made = render(tables, type="track", event="e", properties={"a": "soon"})
    assert [warning.field for warning in made.warnings] == ["properties.a"]
    assert data(tables, a="soon")["x"] == 0


def test_a_constant_that_is_null_is_passed_on() -> None:
    row = "from: [properties.a, {value: null}]"
    tables = load(f"table: default\nrows:\n  - {{key: data.x, {row}, doc: d}}\n")
    assert data(tables)["x"] is None


@pytest.mark.parametrize(
    "source",
    ["[{value: 1}]", "[{value: 1}, properties.a]", "[properties.a, {value: 1}, {value: 2}]"],
)
def test_a_constant_comes_last_after_a_path(source: str) -> None:
    (mistake,) = set(
        mistakes(f"table: default\nrows:\n  - {{key: data.x, from: {source}, doc: d}}")
    )
    assert mistake == (
        "0.yaml:3 (row default.data.x): a constant comes last, after at least one path"
    )
