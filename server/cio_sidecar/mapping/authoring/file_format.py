"""What a table file may hold: its keys, their types, and what each means."""

from typing import Any, Final, Literal

from pydantic import Field, field_validator

from cio_sidecar.mapping.model import EventType, Strict

WHEN_SCHEMA: Final[dict[str, Any]] = {
    "oneOf": [
        {"type": "string"},
        {
            "type": "object",
            "minProperties": 1,
            "additionalProperties": {"type": ["string", "number", "boolean", "null", "array"]},
        },
    ]
}


class InputFile(Strict):
    """An entry of ``from``: a path in the event with transforms of its own, or a constant."""

    path: str = Field("", description="Path in the event: context.page.url")
    expr: str = Field("", description="A CEL expression over event, in place of a path.")
    value: Any = Field(None, description="A constant, for where no path before it gives a value.")
    apply: list[str] = Field([], description="Transforms of this path alone, left to right.")


class RowFile(Strict):
    """One output key, and how its value is found."""

    key: str = Field(
        description="Output key; dots nest (data.userId), * is every key of an object."
    )
    level: Literal["required", "highly_recommended", "optional"] = Field(
        "optional", description="required: an event without a value is rejected."
    )
    doc: str = Field("", description="What the row is for, in a sentence.")
    from_: list[InputFile] | None = Field(
        None, alias="from", description="A path in the event, or several: the first with a value."
    )
    value: Any = Field(None, description="A constant.")
    expr: str | None = Field(None, description="A CEL expression over event.")
    apply: list[str] = Field([], description="Transforms of the value, left to right.")
    except_: list[str] = Field(
        [], alias="except", description="With the key *: keys of the object that are left out."
    )
    when: Any = Field(
        None,
        description="The events that the row is for: a CEL expression, or paths with their values.",
        json_schema_extra=WHEN_SCHEMA,
    )
    remove: bool = Field(False, description="Takes out the row with this key.")

    @field_validator("from_", mode="before")
    @classmethod
    def _paths(cls, source: Any) -> Any:
        """Spell out the short forms: a path alone, and a list of paths."""
        sources = source if isinstance(source, list) else [source]
        return [{"path": item} if isinstance(item, str) else item for item in sources]


def _names(source: Any) -> Any:
    return [source] if isinstance(source, str) else source


class TableFile(Strict):
    """A mapping table, or what is changed in one."""

    table: str = Field(description="Name of the table; one that is there is extended.")
    doc: str = Field("", description="What the table is for, in a sentence.")
    events: list[EventType] = Field([], description="The event types it is for.")
    extends: str | None = Field(None, description="The table whose rows it begins with.")
    operation: str | None = Field(
        None, description="What its output is; without it, its rows are shared."
    )
    when: Any = Field(
        None,
        description="The events it is for: a CEL expression, or paths with their values.",
        json_schema_extra=WHEN_SCHEMA,
    )
    otherwise: str | None = Field(
        None, description="The table for events in which a required row has no value."
    )
    also: list[str] = Field(
        [], description="Tables whose operations follow, where their required rows have values."
    )
    drop: bool = Field(False, description="true: nothing is sent for its events.")
    remove: bool = Field(False, description="Takes out the table with this name.")
    rows: list[RowFile] = Field([], description="Its rows, in order of output.")

    _also = field_validator("also", mode="before")(_names)
