"""The profile `documented` holds the rows of the integration document, and no others."""

from __future__ import annotations

import pytest
from cio_sidecar.mapping.authoring.profiles import load_profile

REQUIRED, RECOMMENDED, OPTIONAL = "required", "highly_recommended", "optional"

# (table, output key, level, first input or the constant), written from the document by hand.
ROWS = [
    ("default", "data", OPTIONAL, "properties"),
    ("default", "id", REQUIRED, "messageId"),
    ("default", "data.userId", OPTIONAL, "userId"),
    ("default", "name", REQUIRED, "event"),
    ("default", "timestamp", REQUIRED, "timestamp"),
    ("default", "type", OPTIONAL, "= event"),
    ("global", "anonymous_id", RECOMMENDED, "anonymousId"),
    ("identify", "id", REQUIRED, "userId"),
    ("identify", "email_sha256", RECOMMENDED, "traits.email"),
    ("identify", "created_at", RECOMMENDED, "traits.createdAt"),
    ("page", "data", OPTIONAL, "properties"),
    ("page", "name", OPTIONAL, "context.page.url"),
    ("page", "id", REQUIRED, "messageId"),
    ("page", "data.userId", OPTIONAL, "userId"),
    ("page", "timestamp", REQUIRED, "timestamp"),
    ("page", "type", OPTIONAL, "= page"),
    ("screen", "data", OPTIONAL, "properties"),
    ("screen", "name", OPTIONAL, "properties.name"),
    ("screen", "id", REQUIRED, "messageId"),
    ("screen", "data.userId", OPTIONAL, "userId"),
    ("screen", "data.from", OPTIONAL, "properties.category"),
    ("screen", "timestamp", REQUIRED, "timestamp"),
    ("screen", "type", OPTIONAL, "= screen"),
]
EVENTS = {
    "default": ("track",),
    "global": ("identify", "page", "screen", "track"),
    "identify": ("identify",),
    "page": ("page",),
    "person": ("page", "screen", "track"),
    "screen": ("screen",),
}
# The document leaves these three as "Expression"; the project's design settles them.
EXPRESSIONS = {
    "email_sha256": (["traits.email", "context.traits.email"], ("email_sha256",)),
    "created_at": (["traits.createdAt", "traits.created_at"], ("unix_seconds",)),
    "timestamp": (["timestamp", "originalTimestamp", "receivedAt"], ("unix_seconds",)),
}

TABLES = load_profile("documented").tables


def test_the_rows_are_those_of_the_document_in_its_order() -> None:
    loaded = [
        (
            table.name,
            row.key,
            row.level.value,
            row.inputs[0].path if row.inputs else f"= {row.value}",
        )
        for table in TABLES.values()
        if table.name != "person"
        for row in table.rows
    ]
    assert loaded == ROWS


def test_each_table_is_for_the_events_of_the_document() -> None:
    assert {table.name: tuple(table.events) for table in TABLES.values()} == EVENTS


def test_the_person_table_adds_nothing_to_a_payload() -> None:
    assert [(row.key, row.level.value) for row in TABLES["person"].rows] == [
        ("person", RECOMMENDED)
    ]


@pytest.mark.parametrize("key", EXPRESSIONS)
def test_the_expressions_are_as_settled(key: str) -> None:
    paths, apply = EXPRESSIONS[key]
    rows = [row for table in TABLES.values() for row in table.rows if row.key == key]
    assert rows
    for row in rows:
        assert [source.path for source in row.inputs] == paths
        assert {source.apply for source in row.inputs} == {apply}


def test_the_second_choices_are_as_settled() -> None:
    later = {
        f"{table.name}.{row.key}": [source.path for source in row.inputs[1:]]
        for table in TABLES.values()
        for row in table.rows
        if len(row.inputs) > 1 and row.key not in EXPRESSIONS
    }
    email = ["traits.email", "context.traits.email"]
    assert later == {
        "identify.id": email,
        "person.person": email,
        "page.name": ["properties.url", "name"],
        "screen.name": ["name"],
        "screen.data.from": ["category"],
    }


def test_every_row_and_table_says_what_it_is_for() -> None:
    for table in TABLES.values():
        assert table.doc.strip().endswith("."), table.name
        for row in table.rows:
            assert row.doc.strip().endswith("."), f"{table.name}.{row.key}"
