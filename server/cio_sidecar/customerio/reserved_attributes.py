"""Attributes of a person that Customer.io gives a meaning of its own, and what each must be."""

import re
from collections.abc import Callable
from typing import Any, Final

from cio_sidecar.customerio.limits import SECONDS, Problem

DELETE_RELATIONSHIPS: Final = "delete_relationships"
_ACTIONS: Final = ("add_relationships", DELETE_RELATIONSHIPS)


def relationships(value: Any) -> tuple[str, list[Any]]:
    """The action and the list of ``cio_relationships``, in v1's form or v2's: an object of the two,
    or the list alone, which adds.
    """
    if value.__class__ is dict:
        return value["action"], value["relationships"]
    return _ACTIONS[0], value


def _is_identifier(value: Any) -> bool:
    return value is None or (value.__class__ is str and value != "")


def _is_moment(value: Any) -> bool:
    return value is None or (value.__class__ is int and value in SECONDS)


def _is_preferences(value: Any) -> bool:
    if value is None:
        return True
    topics = value.get("topics", {}) if value.__class__ is dict else None
    return topics.__class__ is dict and all(v.__class__ is bool for v in topics.values())


def _is_relationships(value: Any) -> bool:
    if value.__class__ is dict:
        if {*value} != {"action", "relationships"} or value["action"] not in _ACTIONS:
            return False
        value = value["relationships"]
    return value.__class__ is list and all(map(_is_relationship, value))


def _is_relationship(value: Any) -> bool:
    if value.__class__ is not dict or not {"identifiers"} <= {*value} <= _RELATIONSHIP_KEYS:
        return False
    who = value["identifiers"]
    return (
        who.__class__ is dict
        and {*who} in _OBJECT_KEYS
        and all(item.__class__ is str and item for item in who.values())
        and ("object_type_id" not in who or _DIGITS.fullmatch(who["object_type_id"]) is not None)
        and value.get("relationship_attributes", {}).__class__ is dict
    )


_DIGITS: Final = re.compile("[1-9][0-9]*")
_RELATIONSHIP_KEYS: Final = {"identifiers", "relationship_attributes"}
_OBJECT_KEYS: Final = ({"object_type_id", "object_id"}, {"cio_object_id"})
_RESERVED: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "email": (_is_identifier, "text or null"),
    "anonymous_id": (_is_identifier, "text or null"),
    "created_at": (_is_moment, "whole Unix seconds or null"),
    "cio_subscription_preferences": (_is_preferences, "an object of topics, each true or false"),
    "_timestamp": (lambda value: value is not None and _is_moment(value), "whole Unix seconds"),
    "_update": (lambda value: value.__class__ is bool, "true or false"),
    "cio_relationships": (
        _is_relationships,
        "a list of relationships to objects, or an object of action and relationships",
    ),
}


_FITS: Final = tuple((name, fits) for name, (fits, _) in _RESERVED.items())


def unusable(attributes: dict[str, Any]) -> list[Problem]:
    """The reserved attributes whose values Customer.io would reject, each with the reason."""
    changes: list[Problem] = []
    for name, fits in _FITS:
        if name in attributes and not fits(attributes[name]):
            what = f"left out: expected {_RESERVED[name][1]}, as Customer.io reserves it"
            changes.append(Problem(name, "WRONG_TYPE", what))
    return changes
