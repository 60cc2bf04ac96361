"""The model of a mapping table."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

EventType = Literal["identify", "page", "screen", "track", "group", "alias"]

SPREAD: Final = "*"
"""The key of a row that sets every key of an object."""

EVENT_KEYS: Final = frozenset(
    {"data", "name", "id", "timestamp", "type", "anonymous_id", "person", "*"}
)
"""What stands first in an output key of a page, screen or track event: the keys of a Track API
event, and ``person``. Every key of an identify is an attribute."""

_SEGMENT = re.compile(r'"((?:[^"\\]|\\.)+)"|([^."\s]+)')
_PLAIN = re.compile(r'[^."\s]+')


class Level(StrEnum):
    """How badly a row's value is wanted."""

    REQUIRED = "required"
    """An event without it is refused."""
    HIGHLY_RECOMMENDED = "highly_recommended"
    OPTIONAL = "optional"


class Strict(BaseModel):
    """A model without unknown keys or silent conversions."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Input(Strict):
    """One place in the event to look for a value, and what its value passes through."""

    path: str
    apply: tuple[str, ...] = ()


class Row(Strict):
    """One output key and how its value is found. ``inputs`` is empty where ``value`` is set."""

    key: str
    level: Level
    doc: str
    inputs: tuple[Input, ...] = ()
    value: Any = None
    except_: tuple[str, ...] = ()
    origin: str = ""
    """The file that the row stands in: ``documented/page.yaml``, or one of an overlay."""


class Table(Strict):
    """The rows for one or more event types, in order of output."""

    name: str
    doc: str
    events: tuple[EventType, ...]
    rows: tuple[Row, ...]
    file: str = ""
    """The last file that had a part in it."""


def split_path(path: str) -> tuple[str, ...]:
    r"""The keys of a dotted path: ``context.page.url``. A key with a dot in it is quoted:
    ``properties."order.id"``. Raises ValueError with what is wrong.
    """
    keys: list[str] = []
    at = 0
    while True:
        match = _SEGMENT.match(path, at)
        if match is None:
            raise ValueError(
                f"{path!r} is no path: write keys joined by dots (context.page.url), "
                'a key with a dot or space in it in double quotes (properties."order.id")'
            )
        quoted, plain = match.groups()
        keys.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
        if at == len(path):
            return tuple(keys)
        if path[at] != ".":
            raise ValueError(f"{path!r} is no path: expected a dot at character {at + 1}")
        at += 1


def join_path(keys: Iterable[str]) -> str:
    """The one spelling of a path: what split_path() would take apart, quoted where it must be."""
    return ".".join(
        key if _PLAIN.fullmatch(key) else '"' + re.sub(r'(["\\])', r"\\\1", key) + '"'
        for key in keys
    )


def is_spread(key: str) -> bool:
    """Whether a row with this key sets every key of an object: ``*``, ``data.*``."""
    return split_path(key)[-1] == SPREAD
