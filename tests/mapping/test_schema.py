"""The JSON Schema of table files takes what the reader takes, and tells typical mistakes."""

from __future__ import annotations

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from cio_sidecar.mapping.authoring.file_format import InputFile, RowFile, TableFile
from cio_sidecar.mapping.authoring.json_schema import table_schema
from cio_sidecar.mapping.event import EVENT_TYPES
from cio_sidecar.mapping.running.transforms import TRANSFORMS
from cio_sidecar.operations import OPERATIONS
from cio_sidecar.yaml_lines import load as read_yaml
from jsonschema import Draft202012Validator
from pydantic import BaseModel

SCHEMA = table_schema()
VALIDATOR = Draft202012Validator(SCHEMA)
BUILT_IN = sorted(Path(str(files("cio_sidecar.mapping"))).joinpath("tables").rglob("*.yaml"))
DOCS = Path(__file__).parents[2] / "docs"
EXAMPLES = [
    *DOCS.rglob("overlay/*.yaml"),
    *re.findall(r"```yaml\n(# overlay/.*?)```", DOCS.joinpath("mapping.md").read_text(), re.S),
]


def valid(document: Any) -> bool:
    return bool(VALIDATOR.is_valid(document))


def table(**changes: Any) -> dict[str, Any]:
    row = {"key": "data.x", "from": "properties.x", "doc": "d"}
    return {"table": "t", "doc": "d", "events": ["page"], "rows": [row], **changes}


def row(**changes: Any) -> dict[str, Any]:
    """A table with one row; None takes a key out."""
    made = {"key": "data.x", "from": "properties.x", "doc": "d", **changes}
    return table(rows=[{key: value for key, value in made.items() if value is not None}])


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == Draft202012Validator.META_SCHEMA["$id"]


@pytest.mark.parametrize("path", BUILT_IN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_built_in_table_is_valid(path: Path) -> None:
    VALIDATOR.validate(read_yaml(path.read_text("utf-8")).value)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: str(each)[-40:].partition("\n")[0])
def test_every_table_of_the_documentation_is_valid(example: Path | str) -> None:
    text = example.read_text("utf-8") if isinstance(example, Path) else example
    VALIDATOR.validate(read_yaml(text).value)


@pytest.mark.parametrize(
    "document",
    [
        table(),
        table(events=list(EVENT_TYPES)),
        table(events=[], extends="page"),
        table(when="event.a == 1"),
        table(when={"event": "x", "properties.a": [1, 1.5, True, None, "x"]}),
        table(also="default"),
        table(also=["a", "b"], otherwise="c"),
        {"table": "t", "doc": "d", "events": ["page"], "drop": True},
        {"table": "t", "remove": True},
        {"table": "page", "rows": [{"key": "name", "remove": True}]},
        {"table": "page", "rows": []},
        row(**{"from": ["a", {"path": "b", "apply": ["text"]}, {"value": None}]}),
        row(**{"from": {"path": "b"}}),
        row(**{"from": None}, value={"a": [1, None]}),
        row(**{"from": None}, value=False),
        row(**{"from": None}, expr="event.a"),
        row(level="required", apply=["text", "email_sha256"]),
        row(key="*", apply=["object"], **{"except": ["a", "b"]}),
        row(when="event.a == 1"),
        row(when={"event": ["a", "b"]}),
    ],
)
def test_whatever_a_table_may_say_is_valid(document: Any) -> None:
    VALIDATOR.validate(document)
    TableFile.model_validate(document)


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_is_known(name: str) -> None:
    assert valid(table(operation=name))


@pytest.mark.parametrize("name", TRANSFORMS)
def test_every_transform_is_known(name: str) -> None:
    assert valid(row(apply=[name]))
    assert valid(row(**{"from": {"path": "a", "apply": [name]}}))


@pytest.mark.parametrize(
    "document",
    [
        pytest.param([], id="list"),
        pytest.param("table: t", id="text"),
        pytest.param({**table(), "row": []}, id="unknown key of a table"),
        pytest.param({key: v for key, v in table().items() if key != "table"}, id="no name"),
        pytest.param(table(table=5), id="name that is a number"),
        pytest.param(table(events=["visit"]), id="unknown event type"),
        pytest.param(table(events="page"), id="events that are no list"),
        pytest.param(table(operation="evnt"), id="unknown operation"),
        pytest.param(table(operation=None), id="operation left empty"),
        pytest.param(table(rows=None), id="rows left empty"),
        pytest.param(table(rows=["data.x"]), id="row that is text"),
        pytest.param(table(when=5), id="condition that is a number"),
        pytest.param(table(when={}), id="condition without paths"),
        pytest.param(table(when={"event": {"is": "x"}}), id="condition that nests"),
        pytest.param(table(drop="yes"), id="drop that is text"),
        pytest.param(table(also=[5]), id="also that is a number"),
        pytest.param(row(form="x"), id="unknown key of a row"),
        pytest.param(row(key=None), id="row without a key"),
        pytest.param(row(key=5), id="key that is a number"),
        pytest.param(row(level="must"), id="unknown level"),
        pytest.param(row(apply=["shout"]), id="unknown transform"),
        pytest.param(row(apply="text"), id="apply that is no list"),
        pytest.param(row(**{"from": None}), id="row without a source"),
        pytest.param(row(value=1), id="two sources"),
        pytest.param(row(expr="1"), id="a path and an expression"),
        pytest.param(row(**{"from": None}, expr="1", value=1), id="an expression and a constant"),
        pytest.param(row(**{"from": None}, expr=5), id="expression that is a number"),
        pytest.param(row(**{"from": []}), id="empty from"),
        pytest.param(row(**{"from": 5}), id="from that is a number"),
        pytest.param(row(**{"from": [5]}), id="input that is a number"),
        pytest.param(row(**{"from": {}}), id="input without a path"),
        pytest.param(row(**{"from": {"apply": ["text"]}}), id="input with transforms alone"),
        pytest.param(row(**{"from": {"path": "a", "value": 1}}), id="input with path and value"),
        pytest.param(row(**{"from": {"paht": "a"}}), id="unknown key of an input"),
        pytest.param(row(**{"from": {"path": "a", "apply": ["shout"]}}), id="its transform"),
        pytest.param(row(when={}), id="row's condition without paths"),
        pytest.param(row(remove=True), id="removal with a source"),
        pytest.param(row(remove=True, **{"from": None}), id="removal with a doc"),
    ],
)
def test_a_typical_mistake_is_not_valid(document: Any) -> None:
    assert not valid(document)


@pytest.mark.parametrize(("model", "name"), [(RowFile, "RowFile"), (InputFile, "InputFile")])
def test_every_key_is_described(model: type[BaseModel], name: str) -> None:
    known = SCHEMA["$defs"][name]["properties"]
    assert known.keys() == {field.alias or key for key, field in model.model_fields.items()}
    for key, described in {**known, **SCHEMA["properties"]}.items():
        assert described["description"].endswith((".", "context.page.url")), key
