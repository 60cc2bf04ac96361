"""What only the tables together can tell: keys fit the operation, none is lacking, none clash."""

from __future__ import annotations

import pytest
from cio_sidecar.mapping.errors import Mistake, TableError
from cio_sidecar.operations import OPERATIONS

from tests.mapping.support import EVENT_ROWS, items, load, mistakes

VIEWS = "table: views\ndoc: Views.\nevents: [page]\nwhen: {name: x}\noperation: event\nrows:\n"
SHARED = "table: shared\ndoc: d\nevents: [page, screen]\nrows:\n"


def of(operation: str, rows: str) -> str:
    """A table for an operation; its rows stand from line 7 on."""
    head = f"table: t\ndoc: d\nevents: [page]\nwhen: {{name: x}}\noperation: {operation}\n"
    return f"{head}rows:\n{rows}"


# Keys


def test_a_key_that_events_lack_belongs_below_data() -> None:
    row = "  - doc: d\n    key: total\n    from: properties.total\n"
    assert mistakes(VIEWS + row) == [
        "0.yaml:8 (row views.total): Customer.io's events have no key 'total': put it below data "
        "(data.total), or use one of anonymous_id, data, id, name, person, timestamp, type"
    ]


def test_a_key_that_an_object_lacks_belongs_below_its_attributes() -> None:
    keys = ", ".join(sorted(OPERATIONS["identify_object"].keys))
    assert mistakes(of("identify_object", "  - {key: plan, value: x, doc: d}\n")) == [
        "0.yaml:7 (row t.plan): the operation identify_object has no key 'plan': put it below "
        f"attributes (attributes.plan), or use one of {keys}"
    ]


@pytest.mark.parametrize(
    "operation", [name for name, spec in OPERATIONS.items() if not spec.open and name != "event"]
)
def test_a_key_that_an_operation_lacks_is_rejected_with_those_it_has(operation: str) -> None:
    (mistake,) = mistakes(of(operation, "  - {key: nope, value: x, doc: d}\n"))
    assert mistake.startswith(f"0.yaml:7 (row t.nope): the operation {operation} has no key 'nope'")
    assert mistake.endswith(f"one of {', '.join(sorted(OPERATIONS[operation].keys))}")


def test_an_identify_takes_any_key() -> None:
    text = "table: shared\ndoc: d\nevents: [identify]\nrows:\n  - {key: plan, value: x, doc: d}\n"
    (made,) = items(load(text), type="identify")
    assert made["attributes"] == {"plan": "x"}


@pytest.mark.parametrize("events", ["page", "identify, page", "track, alias, screen"])
def test_a_shared_row_must_fit_an_operation_of_its_events(events: str) -> None:
    text = f"table: t\ndoc: d\nevents: [{events}]\nrows:\n  - {{key: plan, value: x, doc: d}}\n"
    (mistake,) = mistakes(text)
    assert mistake.startswith("0.yaml:5 (row t.plan): Customer.io's events have no key 'plan'")


def test_a_shared_table_for_events_that_no_table_takes_needs_an_operation() -> None:
    text = "table: t\ndoc: d\nevents: [group]\nrows:\n  - {key: plan, value: x, doc: d}\n"
    assert mistakes(text, profile="documented") == [
        "0.yaml:5 (row t.plan): the table has no operation of its own, and no table for its events "
        f"has one: give operation, one of {', '.join(OPERATIONS)}"
    ]


@pytest.mark.parametrize("key", ["person.id", "token.x", "last_used.y", "platform.*"])
def test_nothing_goes_below_a_key_that_is_no_object(key: str) -> None:
    apply = ", apply: [object]" if key.endswith("*") else ""
    (mistake,) = mistakes(of("add_device", f"  - {{key: {key}, from: properties{apply}, doc: d}}"))
    assert mistake.startswith(f"0.yaml:7 (row t.{key}): {key.partition('.')[0]} is ")
    assert mistake.endswith(", which nothing goes below")


@pytest.mark.parametrize(
    ("operation", "key", "value", "expected"),
    [
        ("event", "type", "purchase", "event, page or screen"),
        ("event", "data", "[]", "an object"),
        ("identify_object", "object_type_id", "1", "text"),
        ("identify_object", "attributes", "x", "an object"),
        ("add_device", "platform", "windows", "ios or android"),
        ("add_device", "last_used", "soon", "whole Unix seconds"),
        ("add_device", "attributes", "{a: 1}", "an object of texts"),
        ("delete_person", "person", "''", "text that identifies a person"),
        ("delivery_metric", "recipient", "1.5", "text or a whole number"),
        ("delivery_metric", "reason", "' '", "text"),
        ("delivery_metric", "metric", "read", "opened or spammed"),
    ],
)
def test_a_constant_that_the_operation_has_no_place_for_is_rejected(
    operation: str, key: str, value: str, expected: str
) -> None:
    (mistake,) = mistakes(of(operation, f"  - {{key: {key}, value: {value}, doc: d}}\n"))
    assert mistake.startswith(f"0.yaml:7 (row t.{key}): {key} is ")
    assert f"{expected} in Customer.io's operations, got " in mistake


def test_a_constant_at_the_end_of_from_is_checked_as_any_other() -> None:
    row = "  - {key: platform, from: [context.os.name, {value: windows}], doc: d}\n"
    assert mistakes(of("add_device", row)) == [
        "0.yaml:7 (row t.platform): platform is ios or android in Customer.io's operations, got "
        "'windows'"
    ]


@pytest.mark.parametrize(
    ("key", "expr", "kind"),
    [
        ("person", "1 + 1", "int"),
        ("object_id", "true", "bool"),
        ("attributes", "[event.userId]", "list"),
        ("object_type_id", "1.5", "double"),
    ],
)
def test_an_expression_of_a_type_that_the_key_does_not_take_is_rejected(
    key: str, expr: str, kind: str
) -> None:
    (mistake,) = mistakes(of("identify_object", f"  - {{key: {key}, expr: '{expr}', doc: d}}\n"))
    assert mistake.startswith(f"0.yaml:7 (row t.{key}): {key} is ")
    assert mistake.endswith(f", but the expression gives {kind}")


# Order


def test_a_row_may_not_overwrite_what_an_earlier_one_put_below() -> None:
    rows = "  - {key: data.x, from: a, doc: d}\n  - {key: data, from: properties, doc: d}\n"
    assert mistakes(VIEWS + rows) == [
        "0.yaml:7 (row views.data.x): the row data would overwrite data.x: put it before"
    ]


def test_a_row_may_not_overwrite_what_the_profile_puts_below() -> None:
    removal = "table: page\nrows:\n  - {key: data, remove: true}\n"
    addition = "table: page\nrows:\n  - {key: data, from: context.page, apply: [object], doc: d}\n"
    assert mistakes(removal, addition) == [
        "documented/page.yaml:21 (row page.data.userId): the row data would overwrite "
        "data.userId: put it before"
    ]


def test_one_file_has_one_row_for_a_key() -> None:
    rows = "  - {key: name, remove: true}\n  - {key: name, from: a, doc: d}\n"
    assert mistakes(f"table: page\nrows:\n{rows}") == [
        "0.yaml:4 (row page.name): two rows have this key; merge them into one"
    ]


def test_a_shared_row_does_not_overwrite_a_row_of_the_table_itself() -> None:
    shared = "table: s\ndoc: d\nevents: [alias]\nrows:\n"
    shared += "  - {key: data, from: properties, apply: [object], doc: d}\n"
    own = "table: t\ndoc: d\nevents: [alias]\noperation: event\nrows:\n"
    own += f"{EVENT_ROWS}  - {{key: data.x, value: mine, doc: d}}\n"
    (made,) = items(load(shared, own, profile="documented"), type="alias", properties={"a": 1})
    assert made["attributes"] == {"a": 1, "x": "mine"}


@pytest.mark.parametrize("except_", ["", ", except: [userId]"])
def test_a_named_row_goes_before_a_spread_below_data_wherever_it_stands(except_: str) -> None:
    text = (
        "table: default\nrows:\n  - {key: data, remove: true}\n"
        f'  - {{key: "data.*", from: properties, apply: [object]{except_}, doc: d}}\n'
    )
    (made,) = items(load(text), type="track", event="e", properties={"a": 1, "userId": "not me"})
    assert made["attributes"] == {"a": 1, "userId": "u"}


# Clashes


def test_two_shared_tables_must_not_set_one_key() -> None:
    row = "  - {key: data.x, value: 1, doc: d}\n"
    other = "table: other\ndoc: d\nevents: [screen, page, track]\nrows:\n"
    assert mistakes(SHARED + row, other + row) == [
        "1.yaml:5 (row other.data.x): the table shared sets data.x for screen, page events too: "
        "change that row instead (table: shared)"
    ]


def test_a_clash_is_seen_through_another_spelling_of_the_key() -> None:
    text = (
        "table: t\ndoc: d\nevents: [page]\nrows:\n  - {key: '\"anonymous_id\"', from: a, doc: d}\n"
    )
    assert mistakes(text) == [
        "0.yaml:5 (row t.anonymous_id): the table global sets anonymous_id for page events too: "
        "change that row instead (table: global)"
    ]


def test_shared_tables_for_different_events_may_set_one_key() -> None:
    row = "  - {{key: data.x, value: {}, doc: d}}\n"
    head = "table: {0}\ndoc: d\nevents: [{0}]\nrows:\n"
    texts = [head.format(name) + row.format(name) for name in ("track",)]
    texts += [(head.format("screen") + row.format("screen")).replace("table: screen", "table: s")]
    tables = load(*texts)
    for event_type in ("track", "screen"):
        (made,) = items(tables, type=event_type, event="e", name="n")
        assert made["attributes"]["x"] == event_type


def test_a_row_of_the_table_itself_goes_before_a_shared_one() -> None:
    shared = SHARED + "  - {key: data.x, value: shared, doc: d}\n"
    own = "table: page\nrows:\n  - {key: data.x, value: own, doc: d}\n"
    tables = load(shared, own)
    (page,) = items(tables, type="page", name="n")
    (screen,) = items(tables, type="screen", name="n")
    assert (page["attributes"]["x"], screen["attributes"]["x"]) == ("own", "shared")


# What is missing


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        (name, key)
        for name, spec in OPERATIONS.items()
        for key, of_key in spec.keys.items()
        if of_key.required
    ],
)
def test_a_table_without_what_its_operation_needs_is_rejected(operation: str, key: str) -> None:
    needed = [name for name, of_key in OPERATIONS[operation].keys.items() if of_key.required]
    needed += ["person"] if operation == "event" else []
    rows = "".join(f"\n  - {{key: {name}, from: a, doc: d}}" for name in needed if name != key)
    # No table of the profile documented is for aliases, nor shares rows with them.
    text = f"table: t\ndoc: d\nevents: [alias]\noperation: {operation}\nrows:{rows or ' []'}\n"
    assert mistakes(text, profile="documented") == [
        f"0.yaml:1: alias events would all be rejected, for no row gives them a {key}: add one to "
        "the table t"
    ]


def test_each_event_type_of_a_table_has_what_it_needs() -> None:
    # Tracks have their person from a shared table, groups don't.
    rows = "".join(line for line in EVENT_ROWS.splitlines(True) if "person" not in line)
    text = "table: t\ndoc: d\nevents: [track, group]\nwhen: {event: x}\noperation: event\n"
    assert mistakes(f"{text}rows:\n{rows}", profile="documented") == [
        "0.yaml:1: group events would all be rejected, for no row gives them a person or "
        "anonymous_id: add one to the table t"
    ]


def test_a_table_that_no_event_comes_to_may_lack_anything() -> None:
    load("table: t\ndoc: d\nevents: []\noperation: merge_people\nrows: []\n")


# However large or deep


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(
            f"from: [{', '.join(f'properties.k{n}' for n in range(150))}, properties.last]",
            id="many inputs",
        ),
        pytest.param(f"from: [properties{'.a' * 150}, properties.last]", id="a deep path"),
        pytest.param(
            "from: properties.last, when: "
            f"{{{', '.join(f'properties.w{n}: true' for n in range(150))}}}",
            id="many conditions",
        ),
    ],
)
def test_a_row_however_long_works_or_is_rejected_by_its_name(row: str) -> None:
    rejected: list[Mistake] = []
    try:
        tables = load(f"table: default\nrows:\n  - {{key: data.x, {row}, doc: d}}\n")
    except TableError as error:
        rejected = error.mistakes
    if rejected:
        assert {mistake.row for mistake in rejected} == {"default.data.x"}
        return
    properties = {"last": 1, **{f"w{n}": True for n in range(150)}}
    (made,) = items(tables, type="track", event="e", properties=properties)
    assert made["attributes"]["x"] == 1


def test_a_row_may_put_its_value_deep_into_the_data() -> None:
    tables = load(f"table: default\nrows:\n  - {{key: data{'.a' * 19}, value: 1, doc: d}}\n")
    (made,) = items(tables, type="track", event="e")
    value = made["attributes"]
    for _ in range(19):
        value = value["a"]
    assert value == 1


def test_row_with_a_key_of_too_many_parts_is_rejected() -> None:
    (problem,) = mistakes(f"table: page\nrows:\n  - {{key: data{'.a' * 20}, value: 1, doc: d}}\n")
    assert "has 21 keys, the limit is 20" in problem


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (f"from: a, apply: [{'text,' * 21}]", "apply has 21 transforms, the limit is 20"),
        (f"from: {{path: a, apply: [{'text,' * 21}]}}", "apply has 21 transforms, the limit is 20"),
        (f"value: [{'1,' * 10_000}]", "value: holds 10,001 values, the limit is 10,000"),
        (f"from: a, except: [{'b,' * 1_001}]", "except has 1,001 keys, the limit is 1,000"),
    ],
)
def test_row_that_is_too_large_is_rejected(row: str, problem: str) -> None:
    found = mistakes(f"table: default\nrows:\n  - {{key: data.x, doc: d, {row}}}\n")
    assert f"0.yaml:3 (row default.data.x): {problem}" in found


def test_check_reports_a_key_that_would_nest_twice() -> None:
    (problem,) = mistakes(
        "table: identify\nrows:\n  - {key: attributes.plan, from: traits.plan, doc: d}\n"
    )
    assert problem.startswith("0.yaml:3 (row identify.attributes.plan)")
    assert "use plan" in problem


def test_check_reports_a_table_with_the_condition_of_another() -> None:
    def table(name: str) -> str:
        return f"table: {name}\ndoc: d\nextends: default\nwhen: {{event: Made}}\n"

    (problem,) = mistakes(table("first"), table("second"))
    assert problem.startswith("1.yaml:4: the table first (0.yaml:4)")


def conditional(name: str, when: str, rows: str = "") -> str:
    """A table for some track events, whose condition is on line 4."""
    text = f"table: {name}\ndoc: d\nextends: default\nwhen: {when}\n"
    return f"{text}rows:\n{rows}" if rows else text


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("{event: [A, B]}", "{event: B}"),
        ("{event: A}", "{event: A, userId: u}"),
        ("{event: [A, B]}", """'event.event == "A" && has(event.userId)'"""),
        ("has(event.userId)", "event.event == 'A' && has( event.userId )"),
        ("event.event == 'A'", "{event: A, userId: [1, 2]}"),
    ],
)
def test_check_reports_a_table_that_an_earlier_one_hides(earlier: str, later: str) -> None:
    (problem,) = mistakes(conditional("first", earlier), conditional("second", later))
    assert problem.startswith("1.yaml:4: the table first (0.yaml:4) takes every such event")
    load(conditional("second", later), conditional("t", earlier))


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ("{event: 1}", "{event: true}"),
        ("{event: A, userId: u}", "{event: A}"),
        ("has(event.userId)", "event.event == 'A' || has(event.userId)"),
        ("has(event.userId)", "event.event == 'A' ? has(event.userId) : true"),
        ("event.event == 'A  B'", "event.event == 'A B'"),
        ("event.event == 'A'", "event.event == 'x && event.event == '"),
    ],
)
def test_check_accepts_tables_of_which_each_may_be_used(earlier: str, later: str) -> None:
    load(
        conditional("first", earlier),
        conditional("second", f'"{later}"' if later[0] != "{" else later),
    )


@pytest.mark.parametrize(
    ("when", "why"),
    [
        ("{'event': A, '\"event\"': B}", "event can't have two different values"),
        ("{properties.a: 1, properties.a.b: 1}", "properties.a can't be a single value and hold"),
        ("'false'", "false is never true"),
        ("has(event.userId) && 1 > 2", "1>2 is never true"),
        ("""'event.event == "A" && event.event == "B"'""", "event can't have two different values"),
    ],
)
def test_check_reports_a_condition_that_never_holds(when: str, why: str) -> None:
    row = f"  - {{key: data.x, value: 1, doc: d, when: {when}}}\n"
    (problem,) = mistakes(f"table: default\nrows:\n{row}")
    assert problem.startswith(f"0.yaml:3 (row default.data.x): when never holds: {why}")
    (problem,) = mistakes(conditional("t", when))
    assert problem.startswith(f"0.yaml:4: when never holds: {why}")


def test_check_reports_a_condition_on_a_type_that_the_table_is_not_for() -> None:
    (problem,) = mistakes(conditional("t", "{type: page}"))
    assert problem.startswith("0.yaml:4: when never holds: type can't have two different values")


def test_check_reports_a_row_that_contradicts_its_table() -> None:
    row = "  - {key: data.x, value: 1, doc: d, when: {event: B}}\n"
    (problem,) = mistakes(conditional("t", "{event: A}", row))
    assert problem.startswith("0.yaml:6 (row t.data.x): when never holds: event can't")
    assert problem.endswith("(the table's own when: 0.yaml:4)")


def test_check_accepts_a_row_for_events_that_come_from_another_table() -> None:
    row = "  - {key: data.x, value: 1, doc: d, when: {type: screen}}\n"
    extending = "table: s\ndoc: d\nextends: t\nevents: [screen]\nwhen: {name: x}\n"
    load(conditional("t", "{event: A}", row), extending)


def test_check_reports_a_row_that_two_files_of_an_overlay_set() -> None:
    row = "  - {key: name, from: event, apply: [text], doc: d}\n"
    text = f"table: default\nrows:\n{row}"
    assert mistakes(text, text) == [
        "1.yaml:3 (row default.name): this row is set at 0.yaml:3 too: remove one of the two"
    ]
    removal = "table: default\nrows:\n  - {key: name, remove: true}\n"
    load(text, removal, text)


def test_check_reports_a_row_to_remove_that_is_not_there() -> None:
    (problem,) = mistakes("table: page\nrows:\n  - {key: data.none, remove: true}\n")
    assert problem.startswith("0.yaml:3 (row page.data.none): there is no such row to remove")
    gone = "  - {key: data.none, remove: true}\n"
    (problem,) = mistakes(conditional("t", "{event: A}", gone))
    assert problem.startswith("0.yaml:6 (row t.data.none): there is no such row to remove")
