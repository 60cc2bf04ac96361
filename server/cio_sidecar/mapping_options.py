"""The settings that change what events become. docs/standard.md describes each."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic_settings import NoDecode

from cio_sidecar.paths import split_path


def read_paths(value: Any) -> tuple[str, ...]:
    """The paths of a list of names, or of a text that separates them by commas; each is checked.

    Raises ValueError with what is wrong.
    """
    paths = value.split(",") if isinstance(value, str) else value
    if not isinstance(paths, (list, tuple)) or not all(isinstance(path, str) for path in paths):
        raise ValueError("expected names, separated by commas")
    named = tuple(path.strip() for path in paths if path.strip())
    if paths and paths != [""] and not named:
        raise ValueError("expected names, separated by commas")
    for path in named:
        if split_path(path)[0] in ("traits", "properties", "context") and len(split_path(path)) > 1:
            raise ValueError(f"name keys alone, without what holds them: {path.partition('.')[2]}")
    return named


Paths = Annotated[tuple[str, ...], NoDecode, BeforeValidator(read_paths)]


class MappingOptions(BaseModel):
    """What users can set about mapping without tables of their own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    event_id: Literal["as_is", "ulid"] = Field(
        "as_is", description="An event's id: its messageId unchanged, or always a ULID."
    )
    dates: Literal["as_is", "unix_seconds"] = Field(
        "as_is", description="ISO 8601 dates in attributes and data: unchanged, or Unix seconds."
    )
    identify_timestamp: bool = Field(False, description="Send the timestamp of identify events.")
    email: Literal["plain", "hash_only"] = Field(
        "plain", description="hash_only replaces every email address with its hash."
    )
    allow_traits: Paths = Field(
        (), description="Traits that are copied, separated by commas; empty copies all."
    )
    deny_traits: Paths = Field((), description="Traits that are not copied, separated by commas.")
    allow_properties: Paths = Field(
        (), description="Properties that are copied, separated by commas; empty copies all."
    )
    deny_properties: Paths = Field(
        (), description="Properties that are not copied, separated by commas."
    )
    limits: Literal["reject", "truncate"] = Field(
        "reject",
        description="A value over a limit of Customer.io: reject the event, or truncate with a "
        "warning.",
    )
    keep_device_events: bool = Field(False, description="Also send device events as plain events.")
