"""Whatever tables a user writes: they are current or rejected by name, and no event breaks them."""

from __future__ import annotations

import json
import os
from typing import Any

from cio_sidecar.mapping.authoring.profiles import TableSet, load_profile
from cio_sidecar.mapping.errors import TableError
from cio_sidecar.mapping.event import EVENT_TYPES
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from cio_sidecar.mapping_options import MappingOptions
from cio_sidecar.operations import OPERATIONS, Key
from cio_sidecar.renderer import Rejected, Renderer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.customerio.support import send, shown, workspace
from tests.mapping.strategies import EVENTS, JSON, SCALARS

# More of them, to look for what is rare: EXAMPLES=2000 pytest tests/mapping/test_any_overlay.py
EXAMPLES = int(os.environ.get("EXAMPLES", "100"))
KEYS = sorted({key for spec in OPERATIONS.values() for key in spec.keys})
BUILT_IN = {
    "default": "event",
    "page": "event",
    "identify": "identify",
    "group": "identify_object",
    "group_anonymous": "identify_object_anonymous",
    "device": "add_device",
    "alias": "merge_people",
}
"""Tables of the profile, with their operations."""
PATHS = st.sampled_from(
    [
        *("userId", "anonymousId", "groupId", "properties", "traits", "event", "messageId"),
        *("receivedAt", "properties.objectId", 'traits."order.id"', "context.device.token"),
    ]
)
EXPRESSIONS = st.sampled_from(
    [
        *("event.properties", "event.userId + 'x'", "1 + 1", "event.a.b", "'x'"),
        *("event.properties.map(k, k)", "text(event.event)", "{'a': event.traits}"),
        *("[event.userId]", "has(event.userId) ? event.userId : event.anonymousId"),
    ]
)
CONDITIONS: st.SearchStrategy[Any] = st.one_of(
    st.sampled_from(["true", "has(event.userId)", "event.properties.a == 1", "event.event"]),
    st.dictionaries(PATHS, SCALARS | st.lists(SCALARS, min_size=1, max_size=2), min_size=1),
)
APPLY = st.lists(st.sampled_from(list(TRANSFORMS)), max_size=2)
INPUTS: st.SearchStrategy[Any] = PATHS | st.fixed_dictionaries(
    {"path": PATHS}, optional={"apply": APPLY}
)
_SOMETIMES = st.lists(INPUTS, min_size=1, max_size=2)
RUBBISH = JSON | st.sampled_from(["", "a..b", "nope", "event.", "*", "default", "text", ["shout"]])


@st.composite
def rows(draw: st.DrawFn, operation: str | None) -> Any:
    """A row for an operation, or for any."""
    keys = [*OPERATIONS[operation].keys] if operation else KEYS
    open_ = [key for key in keys if key in ("data", "attributes", "relationship_attributes")]
    more = [f"{key}.{name}" for key in open_ for name in ("x", "x.y", "*")]
    if operation == "identify":
        more = ["*", "email", "_timestamp", "created_at", "a.b", "cio_relationships"]
    row: dict[str, Any] = {"key": draw(st.sampled_from([*keys, *more])), "doc": "d"}
    spread = row["key"].endswith("*")
    match draw(st.integers(0, 4)):
        case 0 if not spread:
            row["value"] = draw(st.sampled_from(["ios", "opened", "1", "page", 5]) | JSON)
        case 1:
            row["expr"] = draw(EXPRESSIONS)
        case _:
            row["from"] = draw(PATHS | st.lists(INPUTS, min_size=1, max_size=3))
    if "value" not in row:
        row["apply"] = [*draw(APPLY), *(["object"] if spread else [])]
    if draw(st.integers(0, 3)) == 0:
        row["when"] = draw(CONDITIONS)
    if draw(st.integers(0, 2)) == 0:
        row["level"] = "required"
    return row


def _sure(key: str, kind: Key) -> list[Any]:
    """What gives a key a value that fits, where nothing else gives one."""
    if kind.one_of:
        return [{"value": kind.one_of[0]}]
    if kind.digits:
        return [{"value": "1"}]
    if kind.type == "seconds":
        return [{"path": "receivedAt", "apply": ["unix_seconds"]}]
    if kind.type == "person":
        return [{"path": "userId", "apply": ["identifier"]}]
    return [{"path": "messageId", "apply": ["identifier"]}, {"value": key}]


def _once(made: list[Any]) -> list[Any]:
    """One row for each key, an object's before those below it."""
    return sorted({row["key"]: row for row in made}.values(), key=lambda row: str(row["key"]))


@st.composite
def tables(draw: st.DrawFn, name: str) -> Any:
    """A table that means well."""
    table: dict[str, Any] = {"table": name}
    operation: str | None = None
    if name not in BUILT_IN:
        operation = draw(st.sampled_from(list(OPERATIONS)))
        table |= {"doc": "d", "events": draw(st.lists(st.sampled_from(EVENT_TYPES), max_size=3))}
        table["operation"] = operation
        if draw(st.booleans()):
            table["extends"] = draw(st.sampled_from(list(BUILT_IN)))
        table["when"] = draw(CONDITIONS)
        needed = [
            {"key": key, "doc": "d", "from": [*draw(_SOMETIMES), *_sure(key, kind)]}
            for key, kind in OPERATIONS[operation].keys.items()
            if kind.required or key == "person"
        ]
        table["rows"] = _once([*draw(st.lists(rows(operation), max_size=3)), *needed])
    else:
        operation = BUILT_IN[name]
        table["rows"] = _once(draw(st.lists(rows(operation), max_size=2)))
    for key in ("otherwise", "also"):
        if draw(st.integers(0, 3)) == 0:
            table[key] = draw(st.sampled_from(["group_alone", "identify_group", "alias"]))
    return table


_NAMES = st.sampled_from(["mine", "other", *BUILT_IN])


@st.composite
def overlays(draw: st.DrawFn) -> list[Any]:
    """Tables, at times with rubbish somewhere in them."""
    names = draw(st.lists(_NAMES, min_size=1, max_size=3, unique=True))
    overlay: list[Any] = [draw(tables(name)) for name in names]
    if draw(st.integers(0, 2)) == 0:
        holder: Any = overlay
        while True:
            keys = [*range(len(holder))] if isinstance(holder, list) else [*holder]
            key = draw(st.sampled_from(keys))
            if not holder[key] or not isinstance(holder[key], (dict, list)) or draw(st.booleans()):
                break
            holder = holder[key]
        match draw(st.integers(0, 2)):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                extra = ["remove", "drop", "when", "also", "except", "apply", "from", "odd"]
                holder[draw(st.sampled_from(extra))] = draw(RUBBISH | st.just(True))
            case _:
                holder[key] = draw(RUBBISH)
    return overlay


def written(table: Any) -> str:
    """A table as YAML, of which JSON is nearly a part."""
    text = json.dumps(table, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08x}" for c in text)


def loaded(texts: list[str], options: MappingOptions) -> TableSet | None:
    """the current tables; None where they are rejected, which is told as it should be."""
    mistakes = None
    try:
        return load_profile(
            "standard", [(f"{n}.yaml", text) for n, text in enumerate(texts)], options
        )
    except TableError as error:
        mistakes = error.mistakes
    assert mistakes
    for mistake in mistakes:
        assert mistake.file.endswith(".yaml")
        assert mistake.line >= 1
        assert mistake.problem
    return None


def check(tables: TableSet, events: list[dict[str, Any]]) -> None:
    renderer = Renderer(tables)
    one, two = workspace(), workspace()
    for event in events:
        before = repr(event)
        result = renderer.render(event)
        assert repr(event) == before
        if isinstance(result, Rejected):
            assert result.violations
            continue
        renderer.explain(event)
        for operation in result.operations:
            assert send(one, operation, v1=True).status == 200, operation
            assert send(two, operation, v1=False).status == 200, operation
    assert shown(one) == shown(two)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    overlay=overlays(),
    options=st.sampled_from(
        [MappingOptions(), MappingOptions(limits="truncate", dates="unix_seconds")]
    ),
    events=st.lists(EVENTS, min_size=1, max_size=3),
)
def test_any_overlay_is_in_force_or_rejected_by_name(
    overlay: list[Any], options: MappingOptions, events: list[dict[str, Any]]
) -> None:
    found = loaded([written(table) for table in overlay], options)
    if found is not None:
        check(found, events)


@settings(max_examples=EXAMPLES, deadline=None)
@given(
    table=st.sampled_from(["mine"]).flatmap(tables),
    events=st.lists(EVENTS, min_size=1, max_size=3),
)
def test_a_table_that_means_well_takes_any_event(table: Any, events: list[dict[str, Any]]) -> None:
    table |= {"events": list(EVENT_TYPES), "when": "true"}
    found = loaded([written(table)], MappingOptions())
    if found is not None:
        check(found, events)
