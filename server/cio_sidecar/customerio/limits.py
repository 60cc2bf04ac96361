"""The limits of the Track API, read from limits.yaml, and the checks against them.

A check says nothing of where a value came from: it names the output key, and the caller of these
functions knows which input gave it.
"""

from importlib.resources import files
from typing import Any, Final, NamedTuple

import orjson
import yaml

_LIMITS: Final[dict[str, dict[str, Any]]] = yaml.safe_load(
    files("cio_sidecar.customerio").joinpath("limits.yaml").read_text("utf-8")
)


def _limit(name: str) -> int:
    return int(_LIMITS[name]["limit"])


PERSON_ID_BYTES: Final = _limit("person_id")
ATTRIBUTE_NAME_BYTES: Final = _limit("attribute_name")
ATTRIBUTE_VALUE_BYTES: Final = _limit("attribute_value")
ATTRIBUTES: Final = _limit("attributes")
EVENT_NAME_BYTES: Final = _limit("event_name")
EVENT_DATA_BYTES: Final = _limit("event_data")
OPERATION_BYTES: Final = _limit("operation")
BATCH_BYTES: Final = _limit("batch")
ATTRIBUTES_BYTES: Final = _limit("attributes_size")
BESIDE_BYTES: Final = _limit("beside")
REQUESTS_PER_SECOND: Final = _limit("requests_per_second")

SECONDS: Final = range(-62_135_596_800, 10**11)
"""What can be Unix seconds: from the year 1 to 5138. Customer.io replaces what lies beyond, such as
milliseconds, by the time of receipt."""

# No character takes more than four bytes of UTF-8, so a text with fewer characters than this needs
# no encoding to be measured.
_SHORT_ID: Final = PERSON_ID_BYTES // 4
_SHORT_NAME: Final = EVENT_NAME_BYTES // 4
_SHORT_ATTRIBUTE_NAME: Final = ATTRIBUTE_NAME_BYTES // 4
_SHORT_ATTRIBUTE_VALUE: Final = ATTRIBUTE_VALUE_BYTES // 4


class Problem(NamedTuple):
    """Something in an operation that Customer.io would not take."""

    key: str
    """The output key: ``name``, ``data``, ``person``, or the name of an attribute."""
    reason: str
    """A stable word: TOO_LARGE, TOO_MANY, WRONG_TYPE, REQUIRED or NO_PERSON."""
    description: str


def check_person(key: str, person: Any) -> list[Problem]:
    """Check a person's identifier: its type and size, and that it can stand in a path."""
    if person is None:
        return [Problem(key, "REQUIRED", f"a person needs an {key}")]
    if person.__class__ is not str or not person or person.isspace():
        what = "expected text that is not blank: add a transform to the row"
        return [Problem(key, "WRONG_TYPE", what)]
    if person in (".", ".."):
        # Not even percent-encoding keeps these from meaning a folder: the request would go astray.
        return [Problem(key, "INVALID_VALUE", f"{person!r} can't identify a person: use another")]
    return check_anonymous_id(person, key)


def check_anonymous_id(anonymous_id: str, key: str = "anonymous_id") -> list[Problem]:
    """Check the size of an anonymous id."""
    if len(anonymous_id) > _SHORT_ID and (size := len(anonymous_id.encode())) > PERSON_ID_BYTES:
        return [_too_large(key, size, PERSON_ID_BYTES)]
    return []


def check_size(key: str, size: int, limit: int, what: str = "") -> list[Problem]:
    """Check a size in bytes against a limit. ``what`` begins the words."""
    return [_too_large(key, size, limit, what)] if size > limit else []


def check_relationship(relationship: dict[str, Any]) -> list[Problem]:
    """Check an entry of a person's ``cio_relationships``: the object's id, and the attributes."""
    ids = relationship["identifiers"].values()
    attributes = relationship.get("relationship_attributes", {})
    problems = [*check_attributes(attributes)]
    for id_ in ids:
        problems += check_size("", len(id_.encode()), PERSON_ID_BYTES)
    return [problem._replace(key="cio_relationships") for problem in problems]


def check_attributes(attributes: dict[str, Any]) -> list[Problem]:
    """Check the number, names and values of a person's attributes."""
    problems: list[Problem] = []
    # It steers the call, and is no attribute.
    count = len(attributes) - ("_update" in attributes)
    if count > ATTRIBUTES:
        problems.append(
            Problem(
                "*",
                "TOO_MANY",
                f"{count:,} attributes, the limit is {ATTRIBUTES}: send fewer traits",
            )
        )
    for name, value in attributes.items():
        if len(name) > _SHORT_ATTRIBUTE_NAME and (size := len(name.encode())) > (
            ATTRIBUTE_NAME_BYTES
        ):
            problems.append(_too_large(name, size, ATTRIBUTE_NAME_BYTES, "the name has "))
        if value.__class__ is str:
            if len(value) <= _SHORT_ATTRIBUTE_VALUE:
                continue
            size = len(value.encode())
        elif value.__class__ is dict or value.__class__ is list:
            size = len(orjson.dumps(value))
        else:
            continue
        if size > ATTRIBUTE_VALUE_BYTES:
            problems.append(_too_large(name, size, ATTRIBUTE_VALUE_BYTES))
    return problems


def check_data(data: dict[str, Any], item: bytes) -> Problem | None:
    """Check the size of an event's data; ``item`` is the operation that holds it."""
    if len(item) > EVENT_DATA_BYTES and (size := len(orjson.dumps(data))) > EVENT_DATA_BYTES:
        return _too_large("data", size, EVENT_DATA_BYTES)
    return None


def cut_name(name: str) -> tuple[str, list[Problem]]:
    """An event's name within the limit, cut on a character boundary, and what was changed."""
    if len(name) <= _SHORT_NAME:
        return name, []
    encoded = name.encode()
    if len(encoded) <= EVENT_NAME_BYTES:
        return name, []
    kept = encoded[:EVENT_NAME_BYTES].decode(errors="ignore").rstrip()
    cut = len(encoded) - len(kept.encode())
    what = f"cut to {EVENT_NAME_BYTES} bytes: {cut:,} bytes too long"
    return kept, [Problem("name", "TOO_LARGE", what)]


def _too_large(key: str, size: int, limit: int, what: str = "") -> Problem:
    return Problem(key, "TOO_LARGE", f"{what}{size:,} bytes, the limit is {limit:,}: shorten it")
