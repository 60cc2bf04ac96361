"""Which table an event goes to, and what comes after it: when, otherwise, also, drop."""

from __future__ import annotations

from typing import Any

import pytest
from cio_sidecar.mapping.authoring.profiles import TableSet
from cio_sidecar.mapping.model import When
from cio_sidecar.mapping.running.compiler import compile_choice
from cio_sidecar.mapping.running.explain import holds
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.renderer import Renderer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.strategies import EVENTS
from tests.mapping.support import BASE, items, load, rejections, render


def table(name: str, when: str = "", *more: str) -> str:
    """A table for tracks whose events bear its name."""
    keys = "".join(f"{line}\n" for line in ([f"when: {when}"] if when else []) + list(more))
    return (
        f"table: {name}\ndoc: d\nevents: [track]\nextends: default\n{keys}"
        f"rows:\n  - {{key: name, value: {name}, doc: d}}\n"
    )


def helper(name: str, *more: str) -> str:
    """Such a table to which no event goes by itself."""
    return table(name, "", *more).replace("events: [track]", "events: []")


def names(tables: TableSet, **event: Any) -> list[str]:
    """The names, or actions, of what is sent for a track event."""
    made = items(tables, **{"type": "track", "event": "e", **event})
    return [item.get("name", item["action"]) for item in made]


# when, by values


@pytest.mark.parametrize(
    ("when", "value", "holds_"),
    [
        ("{properties.a: 1}", 1, True),
        ("{properties.a: 1}", True, False),
        ("{properties.a: 1}", "1", False),
        ("{properties.a: 1}", 1.0, False),
        ("{properties.a: 1.0}", 1.0, True),
        ("{properties.a: 1.0}", 1, False),
        ("{properties.a: true}", True, True),
        ("{properties.a: true}", 1, False),
        ("{properties.a: true}", "true", False),
        ("{properties.a: false}", 0, False),
        ("{properties.a: '1'}", "1", True),
        ("{properties.a: '1'}", 1, False),
        ("{properties.a: no}", "no", True),
        ("{properties.a: null}", None, True),
        ("{properties.a: null}", 0, False),
        ("{properties.a: null}", "", False),
        ("{properties.a: ''}", "", True),
        ("{properties.a: [x, 2, true, null]}", "x", True),
        ("{properties.a: [x, 2, true, null]}", 2, True),
        ("{properties.a: [x, 2, true, null]}", True, True),
        ("{properties.a: [x, 2, true, null]}", None, True),
        ("{properties.a: [x, 2, true, null]}", 1, False),
        ("{properties.a: [x, 2, true, null]}", False, False),
        ("{properties.a: x}", ["x"], False),
        ("{properties.a: x}", {"x": 1}, False),
        ("{properties.a: 18446744073709551615}", 2**64 - 1, True),
    ],
)
def test_a_value_is_compared_with_its_type(when: str, value: Any, holds_: bool) -> None:
    tables = load(table("mine", when))
    assert names(tables, properties={"a": value}) == ["mine" if holds_ else "e"]


@pytest.mark.parametrize("properties", [{}, {"b": 1}, None, {"a": {}}])
def test_what_is_not_there_is_no_value_not_even_null(properties: Any) -> None:
    tables = load(table("mine", "{properties.a.b: [null, x]}"))
    assert names(tables, properties=properties) == ["e"]
    assert names(tables, properties={"a": {"b": None}}) == ["mine"]


def test_every_path_of_a_condition_must_have_one_of_its_values() -> None:
    tables = load(table("mine", "{event: [a, b], properties.plan: pro}"))
    assert names(tables, event="a", properties={"plan": "pro"}) == ["mine"]
    assert names(tables, event="b", properties={"plan": "pro"}) == ["mine"]
    assert names(tables, event="c", properties={"plan": "pro"}) == ["c"]
    assert names(tables, event="a", properties={"plan": "free"}) == ["a"]


def test_a_path_may_be_quoted() -> None:
    tables = load(table("mine", "{'properties.\"order.id\"': 7}"))
    assert names(tables, properties={"order.id": 7}) == ["mine"]
    assert names(tables, properties={"order": {"id": 7}}) == ["e"]


# when, as an expression


@pytest.mark.parametrize(
    ("when", "properties", "holds_"),
    [
        ("event.properties.total > 100", {"total": 101}, True),
        ("event.properties.total > 100", {"total": 100}, False),
        ("event.properties.total > 100", {}, False),
        ("event.properties.total > 100", {"total": "many"}, False),
        ("has(event.properties.total)", {}, False),
        ("has(event.properties.total)", {"total": None}, True),
        ("event.properties.flag", {"flag": True}, True),
        ("event.properties.flag", {"flag": 1}, False),
        ("event.properties.flag", {"flag": "true"}, False),
        ("event.properties.items.exists(i, i.sku == 'x')", {"items": [{"sku": "x"}]}, True),
        ("event.properties.items.exists(i, i.sku == 'x')", {"items": []}, False),
    ],
)
def test_an_expression_must_be_true_and_nothing_else(
    when: str, properties: Any, holds_: bool
) -> None:
    tables = load(table("mine", f'"{when}"'))
    assert names(tables, properties=properties) == ["mine" if holds_ else "e"]


@pytest.mark.parametrize("when", ["event.properties.flag", "event.properties.flag == true"])
def test_a_flag_is_seen_however_large_the_event_is(when: str) -> None:
    tables = load(table("mine", f'"{when}"'), options=MappingOptions(deny_properties=("pad",)))
    assert names(tables, properties={"flag": True, "pad": "x" * 600_000}) == ["mine"]


def test_a_condition_that_has_no_value_draws_no_warning() -> None:
    tables = load(table("mine", "event.properties.a.b == 1"))
    assert render(tables, type="track", event="e").warnings == []


# The order of tables


def test_a_table_of_ones_own_is_tried_before_those_of_the_profile() -> None:
    tables = load(table("mine", "{event: User Deleted}"))
    assert names(tables, event="User Deleted") == ["mine"]
    assert names(tables, event="User Suppressed") == ["suppress"]


def test_of_ones_own_tables_the_first_file_goes_first() -> None:
    first, second = table("one", "{event: [a, b]}"), table("two", "{event: [b, c]}")
    for texts, b in (((first, second), "one"), ((second, first), "two")):
        tables = load(*texts)
        assert [names(tables, event=event) for event in "abcd"] == [["one"], [b], ["two"], ["d"]]


def test_the_order_holds_between_conditions_of_any_kind() -> None:
    texts = [
        table("paths", "{event: a, properties.x: 1}"),
        table("text", "{event: [a, b]}"),
        table("other", "{properties.x: '2'}"),
        table("expr", "event.event == 'b' || event.event == 'c'"),
        table("late", "{event: [b, c, d]}"),
    ]
    tables = load(*texts)
    assert names(tables, event="a", properties={"x": 1}) == ["paths"]
    assert names(tables, event="a") == ["text"]
    assert names(tables, event="b", properties={"x": "2"}) == ["text"]
    assert names(tables, event="c", properties={"x": "2"}) == ["other"]
    assert names(tables, event="c") == ["expr"]
    assert names(tables, event="d") == ["late"]
    assert names(tables, event="e") == ["e"]


def test_a_table_that_an_overlay_extends_keeps_its_turn() -> None:
    mine = table("mine", "{event: [User Deleted, Object Deleted]}")
    tables = load(mine, "table: user_deleted\ndoc: Changed.\n")
    assert names(tables, event="User Deleted") == ["mine"]


def test_an_overlay_may_give_a_table_another_condition() -> None:
    tables = load("table: user_deleted\nwhen: {event: Account Closed}\n")
    assert names(tables, event="Account Closed") == ["delete"]
    assert names(tables, event="User Deleted") == ["User Deleted"]


def test_a_table_for_all_events_of_a_type_is_the_last_whatever_its_place() -> None:
    changed = "table: default\nwhen: {event: [x, y]}\n"
    tables = load(table("other"), changed, table("y", "{event: y}"), profile="documented")
    assert [names(tables, event=event) for event in ("x", "y", "z")] == [["x"], ["y"], ["other"]]


_PATHS = st.sampled_from(["event", "properties.a", "userId"])
_VALUES: st.SearchStrategy[Any] = st.sampled_from(["a", "b", 1, True, 1.0, None, ""])
_WHENS = st.none() | st.lists(
    st.tuples(_PATHS, st.lists(_VALUES, min_size=1, max_size=3).map(tuple)), min_size=1, max_size=2
).map(lambda values: When(values=tuple(values)))


@settings(max_examples=300)
@given(
    whens=st.lists(_WHENS, max_size=6),
    event=st.fixed_dictionaries(
        {},
        optional={
            "event": _VALUES,
            "userId": _VALUES,
            "properties": st.fixed_dictionaries({}, optional={"a": _VALUES}) | st.none(),
        },
    ),
)
def test_the_first_table_whose_condition_holds_is_chosen(
    whens: list[When | None], event: dict[str, Any]
) -> None:
    choose = compile_choice("track", [(when, f"table {n}") for n, when in enumerate(whens)])
    first = [f"table {n}" for n, when in enumerate(whens) if when is None or holds(when, event)]
    assert choose(event) == (first[0] if first else None)


# otherwise


NEEDS = "  - {{key: data.{0}, level: required, from: properties.{0}, doc: d}}\n"


def chain(*needs: str) -> TableSet:
    """Tables one after the other, each with a required property; the last is for all else."""
    texts = []
    for n, need in enumerate(needs):
        name, after = f"needs_{need}", [f"needs_{later}" for later in needs[n + 1 :]]
        otherwise = f"otherwise: {after[0] if after else 'default'}"
        made = helper(name, otherwise) if n else table(name, "{event: e}", otherwise)
        texts.append(made + NEEDS.format(need))
    return load(*texts)


def test_an_event_without_a_required_value_goes_to_the_next_table() -> None:
    tables = chain("a", "b", "c")
    assert names(tables, properties={"a": 1, "b": 1, "c": 1}) == ["needs_a"]
    assert names(tables, properties={"b": 1, "c": 1}) == ["needs_b"]
    assert names(tables, properties={"c": 1, "a": None}) == ["needs_c"]
    assert names(tables, properties={}) == ["e"]


def test_what_made_a_table_give_way_is_told() -> None:
    text = table("mine", "{event: e}", "otherwise: default")
    text += "  - {key: data.a, level: required, from: properties.a, apply: [text], doc: d}\n"
    made = render(load(text), type="track", event="e", properties={"a": 5})
    assert [tuple(warning) for warning in made.warnings] == [
        ("properties.a", "expected text, got a number; ignored")
    ]


def test_only_the_last_table_rejects_an_event() -> None:
    tables = load(table("mine", "{event: e}", "otherwise: strict") + NEEDS.format("a"), STRICT)
    assert rejections(tables, type="track", event="e") == [("properties.b", "REQUIRED")]


STRICT = helper("strict") + NEEDS.format("b")


def test_the_next_table_need_not_be_for_such_events_itself() -> None:
    tables = load(table("mine", "{event: e}", "otherwise: strict") + NEEDS.format("a"), STRICT)
    assert names(tables, properties={"b": 1}) == ["strict"]
    assert names(tables, event="other") == ["other"]


# also


def test_what_follows_comes_after_and_in_order() -> None:
    texts = [
        table("mine", "{event: e}", "also: [third, second]"),
        helper("second"),
        helper("third"),
    ]
    assert names(load(*texts)) == ["mine", "third", "second"]


def test_what_follows_is_left_out_where_a_required_value_is_missing() -> None:
    more = helper("more") + NEEDS.format("a")
    tables = load(table("mine", "{event: e}", "also: more"), more)
    assert names(tables) == ["mine"]
    assert names(tables, properties={"a": 1}) == ["mine", "more"]


def test_what_follows_follows_the_table_that_is_used() -> None:
    texts = [
        table("mine", "{event: e}", "otherwise: other", "also: a") + NEEDS.format("x"),
        helper("other", "also: b"),
        helper("a"),
        helper("b"),
    ]
    tables = load(*texts)
    assert names(tables, properties={"x": 1}) == ["mine", "a"]
    assert names(tables) == ["other", "b"]


def test_an_event_that_is_rejected_sends_nothing_of_what_follows() -> None:
    tables = load(table("mine", "{event: e}", "also: default") + NEEDS.format("a"))
    assert rejections(tables, type="track", event="e") == [("properties.a", "REQUIRED")]


def test_a_value_that_customer_io_would_reject_in_what_follows_rejects_the_event() -> None:
    tables = load()
    event = {"type": "identify", "groupId": "g", "context": {"objectTypeId": "zero"}}
    assert rejections(tables, **event) == [("context.objectTypeId", "INVALID_VALUE")]


# drop

DEVICE = {"device": {"token": "t", "type": "ios"}}


def test_an_event_that_is_dropped_is_accepted_and_sends_nothing() -> None:
    tables = load("table: noise\ndoc: d\nevents: [track]\nwhen: {event: Heartbeat}\ndrop: true\n")
    made = render(tables, type="track", event="Heartbeat", properties={"a": 1})
    assert (made.operations, made.warnings, made.message_id) == ((), [], "m")
    assert Renderer(tables).explain({**BASE, "type": "track", "event": "Heartbeat"}) == []
    assert names(tables) == ["e"]


def test_whole_types_can_be_dropped() -> None:
    tables = load("table: page\nremove: true\n", "table: p\ndoc: d\nevents: [page]\ndrop: true\n")
    assert render(tables, type="page", name="Home").operations == ()


@pytest.mark.parametrize(
    ("name", "event"),
    [
        ("page", {"type": "page", "name": "Home"}),
        ("user_deleted", {"type": "track", "event": "User Deleted"}),
        ("identify", {"type": "identify", "groupId": "g"}),
        ("group", {"type": "group", "groupId": "g"}),
        ("device", {"type": "track", "event": "Application Opened", "context": DEVICE}),
    ],
)
def test_an_overlay_can_drop_what_a_table_of_the_profile_sends(
    name: str, event: dict[str, Any]
) -> None:
    assert items(load(), **event) != []
    assert items(load(f"table: {name}\ndrop: true\n"), **event) == []


def test_an_overlay_can_take_a_drop_back() -> None:
    tables = load("table: page\ndrop: true\n", "table: page\ndrop: false\n")
    assert len(items(tables, type="page", name="Home")) == 1


def test_an_event_can_be_dropped_by_otherwise() -> None:
    noise = "table: noise\ndoc: d\nevents: []\ndrop: true\n"
    tables = load(noise, table("mine", "{event: e}", "otherwise: noise") + NEEDS.format("a"))
    assert names(tables, properties={"a": 1}) == ["mine"]
    assert names(tables) == []


def test_nothing_follows_an_event_that_is_dropped() -> None:
    tables = load("table: default\nalso: identify_group\n", "table: default\ndrop: true\n")
    assert names(tables, groupId="g") == []


@settings(max_examples=100)
@given(event=EVENTS.filter(lambda event: event["type"] in ("track", "group", "identify")))
def test_no_event_gets_past_a_table_that_drops_all(event: dict[str, Any]) -> None:
    result = Renderer(DROPPING).render(event)
    assert not getattr(result, "operations", ())


DROPPING = load(
    *(f"table: {name}\nremove: true\n" for name in ("device", "device_deleted")),
    "table: none\ndoc: d\nevents: [track, group, identify]\nwhen: 'true'\ndrop: true\n",
)
