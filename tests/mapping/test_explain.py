"""Where each output key comes from: every key that is sent has one explanation, which is true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from cio_sidecar.customerio import requests
from cio_sidecar.customerio.encoders import Operation, identifiers
from cio_sidecar.mapping.authoring.profiles import PROFILES, TableSet, load_profile
from cio_sidecar.mapping.running.explain import Explanation
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.paths import join_path, split_path
from cio_sidecar.renderer import Rendered, Renderer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.mapping.strategies import EVENTS
from tests.mapping.support import BASE, load

NOTHING = object()
TABLES = {profile: load_profile(profile) for profile in PROFILES}
OPTIONS = MappingOptions(
    event_id="ulid",
    identify_timestamp=True,
    deny_traits=("a", "c"),
    allow_properties=("a", "b", "objectId", "token", '"order.id"'),
)


def keys_of(path: str) -> list[str]:
    """The keys of a path; of the empty one too, which no table can name."""
    marked = re.sub(r'(?:^|(?<=\.))""(?=\.|$)', '"<empty>"', path)
    return ["" if key == "<empty>" else key for key in split_path(marked)]


def look_up(holder: Any, path: str) -> Any:
    for key in keys_of(path):
        if not isinstance(holder, dict) or key not in holder:
            return NOTHING
        holder = holder[key]
    return holder


# What was sent, by the keys of the operation


def sent(name: str, operations: list[Operation]) -> dict[str, Any]:
    """The keys of an operation, read back from its requests."""
    first, *more = operations
    item = orjson.loads(first.item)
    if name == "event":
        keys: dict[str, Any] = orjson.loads(requests.v1_request(first).body)
        who = item.get("identifiers", {})
        return {**keys, **({} if {"anonymous_id"} >= who.keys() else {"person": who})}
    if name == "identify":
        keys = orjson.loads(requests.v1_request(first).body)
        for gone in more:
            (related,) = [orjson.loads(gone.item)["cio_relationships"]]
            keys["cio_relationships"] = {
                "action": "delete_relationships",
                "relationships": related,
            }
        return {**keys, "id": item["identifiers"]}
    beside = orjson.loads(first.beside) if first.beside else {}
    return dict(read_back(OPERATIONS[name].v2, item)) | beside


def read_back(template: Any, item: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(template, str) and template.startswith("$"):
        yield template[1:], item
    elif isinstance(template, dict):
        for key in template.keys() & item.keys():
            yield from read_back(template[key], item[key])
    elif isinstance(template, list):
        for inner, value in zip(template, item, strict=True):
            yield from read_back(inner, value)


def flat(name: str, keys: dict[str, Any]) -> dict[str, Any]:
    """Those keys with what stands in an open object as keys of their own."""
    found: dict[str, Any] = {}
    for key, value in keys.items():
        kind = OPERATIONS[name].keys.get(key)
        if kind and kind.type in ("object", "attributes", "texts"):
            found |= {join_path([key, inner]): each for inner, each in value.items()}
        else:
            found[join_path([key])] = value
    return found


# What is explained


def value_at(explanation: Explanation, event: dict[str, Any]) -> Any:
    """The value that the explanation's field leads to."""
    row, source = explanation.row, explanation.source
    if source is None:
        assert explanation.field == ""
        return row.value
    if not source.path:
        assert explanation.field == ""
        return source.value
    value = look_up(event, explanation.field)
    assert value is not NOTHING, explanation
    if explanation.field == source.path:
        for transform in source.apply:
            value = TRANSFORMS[transform](value)
    elif "text_values" in source.apply:
        value = TRANSFORMS["text_values"]({"k": value})["k"]
    return value


def spread(explanations: list[Explanation], event: dict[str, Any]) -> dict[str, Any]:
    """The value of each explained key; an object that is copied whole by the keys in it."""
    assert len({explanation.key for explanation in explanations}) == len(explanations)
    whole: dict[str, Any] = {}
    named: dict[str, Any] = {}
    for explanation in explanations:
        value = value_at(explanation, event)
        name, key = explanation.operation, explanation.key
        kind = OPERATIONS[name].keys.get(key)
        if kind and kind.type in ("object", "attributes", "texts"):
            whole |= {join_path([key, inner]): each for inner, each in value.items()}
        else:
            named[key] = value
    return whole | named


def agree(name: str, key: str, told: Any, made: Any) -> bool:
    """Whether what a field holds is what was sent."""
    if (name, key) == ("event", "name"):
        return bool(told.strip().startswith(made.strip()))
    kind = OPERATIONS[name].keys.get(key)
    if kind and kind.type == "person":
        return bool(made == identifiers(told))
    if key == "cio_relationships" and isinstance(told, list):
        told = {"action": "add_relationships", "relationships": told}
    sort = orjson.OPT_SORT_KEYS
    return orjson.dumps(made, option=sort) == orjson.dumps(told, option=sort)


def check(tables: TableSet, event: dict[str, Any]) -> None:
    renderer = Renderer(tables)
    result = renderer.render(event)
    if not isinstance(result, Rendered):
        return
    explanations = renderer.explain(event)
    names = list(dict.fromkeys(explanation.operation for explanation in explanations))
    steps = [list(result.operations)]
    if len(names) == 2:
        steps = [list(result.operations[:-1]), list(result.operations[-1:])]
    warned = {warning.field for warning in result.warnings}
    assert len(names) == len(steps)
    for name, operations in zip(names, steps, strict=True):
        mine = [explanation for explanation in explanations if explanation.operation == name]
        told, made = spread(mine, event), flat(name, sent(name, operations))
        for key, value in made.items():
            assert key in told, f"{key} is sent and not explained"
            assert agree(name, key, told[key], value), (key, told[key], value)
        left_out = told.keys() - made.keys()
        # What Customer.io would reject is left out with a warning, and nothing else is.
        fields = [each.field.replace('"', "") for each in mine if each.key in left_out]
        assert len(fields) == len(left_out)
        assert {*fields} <= warned


@pytest.mark.parametrize("profile", PROFILES)
@settings(max_examples=400)
@given(event=EVENTS)
def test_every_key_that_is_sent_has_one_explanation_which_leads_to_its_value(
    profile: str, event: dict[str, Any]
) -> None:
    check(TABLES[profile], event)


OVERLAY = load(
    'table: default\nrows:\n  - {key: data, remove: true}\n  - {key: "data.*", from: properties, '
    "apply: [object], except: [a, userId], doc: d}\n",
    "table: identify\nrows:\n  - {key: address.city, from: context.city, doc: d}\n"
    "  - {key: plan, from: [traits.x, {value: free}], doc: d}\n"
    "  - {key: once, value: 1, doc: d, when: {anonymousId: anon1}}\n",
    "table: global\nrows:\n  - {key: anonymous_id, remove: true}\n",
)


@settings(max_examples=300)
@given(
    event=EVENTS.filter(lambda event: event["type"] == "track"),
    properties=st.dictionaries(
        st.sampled_from(["a", "b", "userId", "order.id", "*", 'q"']), st.integers()
    ),
)
def test_a_spread_of_ones_own_is_explained_key_by_key(
    event: dict[str, Any], properties: dict[str, int]
) -> None:
    check(OVERLAY, {**event, "event": "Order Completed", "properties": properties})


def explained(tables: TableSet, **event: Any) -> dict[str, tuple[str, str]]:
    """The field and row of each key."""
    found = Renderer(tables).explain({**BASE, **event})
    return {each.key: (each.field, each.row.name) for each in found}


def test_a_key_is_explained_by_the_row_and_the_field_that_gave_it() -> None:
    event = {
        "type": "identify",
        "traits": {"plan": "pro", "order.id": 7, "email": "a@b.co", "created_at": 0},
        "anonymousId": "a",
    }
    assert explained(TABLES["standard"], **event) == {
        "plan": ("traits.plan", "identify.*"),
        '"order.id"': ('traits."order.id"', "identify.*"),
        "email": ("traits.email", "identify.*"),
        "id": ("userId", "identify.id"),
        "email_sha256": ("traits.email", "identify.email_sha256"),
        "created_at": ("traits.created_at", "identify.created_at"),
        "anonymous_id": ("anonymousId", "global.anonymous_id"),
    }


def test_a_trait_that_a_row_replaces_is_explained_by_the_row_alone() -> None:
    event = {"type": "identify", "traits": {"id": "x", "email_sha256": "y", "email": "a@b.co"}}
    found = explained(TABLES["standard"], **event)
    assert found["id"] == ("userId", "identify.id")
    assert found["email_sha256"] == ("traits.email", "identify.email_sha256")


def test_constants_have_no_field_and_rows_that_do_not_stand_no_explanation() -> None:
    found = explained(OVERLAY, type="identify", traits={"a": 1}, context={"city": "Köln"})
    assert found["plan"] == ("", "identify.plan")
    assert found["address.city"] == ("context.city", "identify.address.city")
    assert "once" not in found
    assert explained(OVERLAY, type="identify", anonymousId="anon1")["once"] == ("", "identify.once")


def test_an_expression_is_explained_by_the_field_that_it_speaks_of_first() -> None:
    tables = load("table: default\nrows:\n  - {key: data.x, expr: event.a.b + event.c, doc: d}\n")
    found = explained(tables, type="track", event="e", a={"b": 1}, c=2)
    assert found["data.x"] == ("a.b", "default.data.x")


def test_what_an_event_gave_way_to_is_explained_and_not_what_it_came_from() -> None:
    found = explained(TABLES["standard"], type="group", groupId="g", userId=None, anonymousId="a")
    assert {row.partition(".")[0] for _, row in found.values()} == {"group", "group_anonymous"}
    assert found["anonymous_id"] == ("anonymousId", "group_anonymous.anonymous_id")


def test_each_operation_is_explained_in_its_turn() -> None:
    found = Renderer(TABLES["standard"]).explain({**BASE, "type": "identify", "groupId": "g"})
    assert [(each.operation, each.key) for each in found] == [
        ("identify", "id"),
        ("add_relationship", "object_id"),
        ("add_relationship", "object_type_id"),
        ("add_relationship", "person"),
    ]


def test_what_a_setting_leaves_out_is_not_explained() -> None:
    tables = load(options=OPTIONS)
    assert explained(tables, type="identify", traits={"a": 1, "b": 2}, timestamp=60) == {
        "b": ("traits.b", "identify.*"),
        "id": ("userId", "identify.id"),
        "_timestamp": ("timestamp", "identify._timestamp"),
    }


@settings(max_examples=200)
@given(event=EVENTS)
def test_nothing_is_explained_that_a_setting_leaves_out(event: dict[str, Any]) -> None:
    renderer = Renderer(load(options=OPTIONS))
    if not isinstance(result := renderer.render(event), Rendered):
        return
    for explanation in renderer.explain(event):
        assert explanation.field not in ("traits.a", "traits.c", "context.traits.a")
        if explanation.operation == "identify" and explanation.key not in ("id", "_timestamp"):
            attributes = orjson.loads(result.operations[0].item)["attributes"]
            (key,) = keys_of(explanation.key)
            known = key in attributes or key == "cio_relationships"
            warned = {warning.field for warning in result.warnings}
            assert known or explanation.field.replace('"', "") in warned
