"""A user's overlay adds, replaces and removes rows, and adds tables."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from cio_sidecar.mapping.authoring.profiles import PROFILES, TableSet, load_profile
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.mapping.model import Input, Level
from cio_sidecar.renderer import Rejected, Rendered, Renderer

EVENT = {
    "messageId": "m",
    "receivedAt": "2023-10-01T12:00:00Z",
    "userId": "u",
    "properties": {"total": 5, "address": {"city": "Köln"}},
}


def overlay(*texts: str, profile: str = "documented") -> TableSet:
    return load_profile(profile, [(f"{n}.yaml", text) for n, text in enumerate(texts)])


def keys(tables: TableSet, name: str) -> list[str]:
    return [row.key for row in tables.tables[name].rows]


def item(tables: TableSet, event: dict[str, Any]) -> Any:
    rendered = Renderer(tables).render({**EVENT, **event})
    assert isinstance(rendered, Rendered), rendered
    return orjson.loads(rendered.operations[0].item)


def test_the_profiles_are_two_and_each_loads() -> None:
    assert list(PROFILES) == ["documented", "standard"]
    for profile in PROFILES:
        assert load_profile(profile).profile == profile
    with pytest.raises(KeyError):
        load_profile("none")


def test_a_new_row_goes_to_the_end() -> None:
    tables = overlay("table: page\nrows:\n  - {key: data.site, value: shop, doc: d}\n")
    assert keys(tables, "page") == [
        *keys(load_profile("documented"), "page"),
        "data.site",
    ]
    made = item(tables, {"type": "page", "name": "Home"})
    assert list(made["attributes"]) == ["total", "address", "userId", "site"]


def test_a_known_key_replaces_its_row_in_its_place() -> None:
    tables = overlay(
        "table: page\nrows:\n  - {key: name, level: required, from: properties.total, doc: New.}\n"
    )
    assert keys(tables, "page") == keys(load_profile("documented"), "page")
    row = next(row for row in tables.tables["page"].rows if row.key == "name")
    assert row.inputs == (Input(path="properties.total"),)
    assert (row.level, row.doc) == (Level.REQUIRED, "New.")


def test_a_removed_row_is_gone_and_the_others_keep_their_order() -> None:
    tables = overlay("table: page\nrows:\n  - {key: data.userId, remove: true}\n")
    assert keys(tables, "page") == ["data", "name", "id", "timestamp", "type"]
    assert "userId" not in item(tables, {"type": "page", "name": "Home"})["attributes"]


def test_remove_false_is_an_ordinary_row() -> None:
    tables = overlay("table: page\nrows:\n  - {key: name, remove: false, from: name, doc: d}\n")
    assert keys(tables, "page") == keys(load_profile("documented"), "page")


def test_a_star_row_goes_to_the_front_so_that_named_rows_win() -> None:
    star = '  - {key: "*", from: traits, apply: [object], except: [secret], doc: d}\n'
    tables = overlay(f"table: identify\nrows:\n{star}")
    assert keys(tables, "identify") == ["*", "id", "email_sha256", "created_at"]
    traits = {"email": "a@b.co", "created_at": "2023-10-01", "email_sha256": "mine", "secret": 1}
    made = item(tables, {"type": "identify", "traits": traits})
    assert made["attributes"] == {
        "email": "a@b.co",
        "created_at": 1696118400,
        "email_sha256": "80305c9bb1bb2480e03894350e0a8a366dcbdeb302e69e0817aa0743abd77054",
    }


def test_a_star_row_of_the_profile_is_replaced_in_its_place() -> None:
    tables = load_profile(
        "standard",
        [
            (
                "o.yaml",
                "table: identify\nrows:\n"
                '  - {key: "*", from: context.traits, apply: [object], doc: d}\n',
            )
        ],
    )
    row = tables.tables["identify"].rows[0]
    assert (row.key, row.inputs[0].path, row.except_) == ("*", "context.traits", ())


def test_later_files_of_an_overlay_extend_earlier_ones() -> None:
    tables = overlay(
        "table: page\nrows:\n  - {key: data.a, value: 1, doc: d}\n",
        "table: page\nrows:\n  - {key: data.b, value: 2, doc: d}\n  - {key: type, remove: true}\n",
    )
    made = item(tables, {"type": "page", "name": "Home"})
    assert (made["attributes"]["a"], made["attributes"]["b"], made["action"]) == (1, 2, "event")


def test_an_overlay_keeps_the_doc_of_a_table_unless_it_gives_one() -> None:
    before = load_profile("documented").tables["page"].doc
    assert overlay("table: page\nrows: []\n").tables["page"].doc == before
    assert overlay("table: page\ndoc: Mine.\nrows: []\n").tables["page"].doc == "Mine."


def test_the_built_in_tables_are_untouched_by_an_overlay() -> None:
    before = load_profile("documented").tables
    overlay("table: page\nrows:\n  - {key: data, remove: true}\n")
    assert load_profile("documented").tables == before


GROUP = """\
table: group
doc: A person joins a group.
events: [group]
operation: event
rows:
  - {key: name, value: Group Joined, doc: d}
  - {key: id, level: required, from: messageId, apply: [identifier], doc: d}
  - {key: timestamp, level: required, from: [timestamp, receivedAt], apply: [unix_seconds], doc: d}
  - {key: person, from: userId, apply: [identifier], doc: d}
  - {key: data.group, level: required, from: groupId, apply: [identifier], doc: d}
"""


def test_a_new_table_maps_a_type_that_had_none() -> None:
    assert "group" not in load_profile("documented").choices
    tables = overlay(GROUP)
    assert item(tables, {"type": "group", "groupId": 7}) == {
        "type": "person",
        "identifiers": {"id": "u"},
        "action": "event",
        "name": "Group Joined",
        "id": "m",
        "timestamp": 1696161600,
        "attributes": {"group": "7"},
    }


def test_a_required_row_of_a_new_table_rejects_by_its_first_input() -> None:
    rejected = Renderer(overlay(GROUP)).render({**EVENT, "type": "group"})
    assert isinstance(rejected, Rejected)
    assert [tuple(violation) for violation in rejected.violations] == [
        ("groupId", "REQUIRED", "group.data.group is required and got no value: give groupId")
    ]


def test_one_new_table_may_serve_two_types() -> None:
    tables = overlay(GROUP.replace("[group]", "[group, alias]"))
    made = item(tables, {"type": "alias", "groupId": "g"})
    assert made["attributes"] == {"group": "g"}
    assert list(tables.choices) == ["identify", "track", "page", "screen", "group", "alias"]


def test_a_type_without_a_table_is_rejected_by_name() -> None:
    rejected = Renderer(load_profile("documented")).render({**EVENT, "type": "alias"})
    assert isinstance(rejected, Rejected)
    assert [tuple(violation) for violation in rejected.violations] == [
        (
            "type",
            "NOT_MAPPED",
            "the profile documented has no table for alias events; it maps identify, track, page, "
            "screen",
        )
    ]


def test_tables_of_an_overlay_come_after_those_they_extend() -> None:
    # By name it would go before "page", whose row data would then overwrite data.site.
    tables = overlay(
        "table: added\ndoc: d\nevents: [page]\nrows:\n  - {key: data.site, value: x, doc: d}\n"
    )
    (plan,) = [plan for plan in tables.plans if plan.event_type == "page"]
    assert list(dict.fromkeys(row.home for row in plan.rows)) == [
        "page",
        "global",
        "person",
        "added",
    ]
    assert item(tables, {"type": "page", "name": "Home"})["attributes"]["site"] == "x"


NAMED = "table: {name}\ndoc: d\nevents: [page]\nrows:\n  - {{key: '{key}', value: 1, doc: d}}\n"


@pytest.mark.parametrize("name", ["a\\n    raise SystemExit", "a\\r    raise SystemExit", "é\\0"])
def test_no_name_of_a_table_becomes_code(name: str) -> None:
    tables = overlay(NAMED.format(name=f'"{name}"', key="data.x"))
    assert item(tables, {"type": "page", "name": "Home"})["attributes"]["x"] == 1


def test_no_key_of_a_row_becomes_code() -> None:
    text = NAMED.format(name="n", key='data."k"').replace(
        "'data.\"k\"'", '"data.\\"\\\\n    raise SystemExit\\n    raise SystemExit #\\""'
    )
    made = item(overlay(text), {"type": "page", "name": "Home"})
    assert made["attributes"]["n    raise SystemExit\n    raise SystemExit #"] == 1


def test_a_row_below_a_property_leaves_the_event_as_it_was() -> None:
    event = {**EVENT, "type": "page", "name": "Home", "properties": {"address": {"city": "Köln"}}}
    tables = overlay("table: page\nrows:\n  - {key: data.address.country, value: DE, doc: d}\n")
    made = item(tables, event)
    assert made["attributes"]["address"] == {"city": "Köln", "country": "DE"}
    assert event["properties"] == {"address": {"city": "Köln"}}


def test_a_row_below_a_trait_leaves_the_event_as_it_was() -> None:
    event = {**EVENT, "type": "identify", "traits": {"address": {"city": "Köln"}}}
    tables = overlay(
        "table: identify\nrows:\n  - {key: address.country, value: DE, doc: d}\n",
        profile="standard",
    )
    made = item(tables, event)
    assert made["attributes"]["address"] == {"city": "Köln", "country": "DE"}
    assert event["traits"] == {"address": {"city": "Köln"}}


def mistakes(*texts: str) -> list[str]:
    with pytest.raises(TableError) as caught:
        overlay(*texts)
    return [str(mistake) for mistake in caught.value.mistakes]


@pytest.mark.parametrize(
    ("table", "key", "event_type"),
    [
        ("identify", "id", "identify"),
        ("page", "name", "page"),
        ("screen", "timestamp", "screen"),
        ("default", "id", "track"),
    ],
)
def test_tables_that_would_reject_every_event_are_rejected_themselves(
    table: str, key: str, event_type: str
) -> None:
    assert mistakes(f"table: {table}\nrows:\n  - {{key: {key}, remove: true}}\n") == [
        f"0.yaml:1: {event_type} events would all be rejected, for no row gives them a {key}: "
        f"add one to the table {table}"
    ]


def test_a_table_without_person_or_anonymous_id_is_rejected() -> None:
    without_person = "".join(line for line in GROUP.splitlines(True) if "key: person" not in line)
    assert mistakes(without_person) == [
        "0.yaml:1: group events would all be rejected, for no row gives them a person or "
        "anonymous_id: add one to the table group"
    ]


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("type", "purchase", "event, page or screen"),
        ("name", "[3]", "text"),
        ("id", "5", "text"),
        ("timestamp", "soon", "whole Unix seconds"),
        ("data", "[]", "an object"),
    ],
)
def test_a_constant_of_a_type_that_no_event_has_is_rejected(
    key: str, value: str, expected: str
) -> None:
    (mistake,) = mistakes(f"table: page\nrows:\n  - {{key: {key}, value: {value}, doc: d}}\n")
    assert mistake.startswith(f"0.yaml:3 (row page.{key}): {key} is {expected} in Customer.io's")


def test_a_spread_over_an_event_itself_is_rejected() -> None:
    row = '{key: "*", from: properties, apply: [object], doc: d}'
    (mistake,) = mistakes(f"table: page\nrows:\n  - {row}\n")
    assert "use data.*" in mistake
