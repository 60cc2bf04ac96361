"""Attributes of a person that Customer.io gives a meaning of its own, and what each must be."""

from collections.abc import Callable
from typing import Any, Final

from cio_sidecar.customerio.limits import SECONDS, Problem


def unusable(attributes: dict[str, Any]) -> list[Problem]:
    """The reserved attributes whose values Customer.io would refuse, each with the reason."""
    return [
        Problem(name, "WRONG_TYPE", f"left out: expected {expected}, as Customer.io reserves it")
        for name, (fits, expected) in _RESERVED.items()
        if name in attributes and not fits(attributes[name])
    ]


def _is_identifier(value: Any) -> bool:
    return value is None or (value.__class__ is str and value != "")


def _is_moment(value: Any) -> bool:
    return value is None or (value.__class__ is int and value in SECONDS)


def _is_preferences(value: Any) -> bool:
    if value is None:
        return True
    topics = value.get("topics", {}) if value.__class__ is dict else None
    return topics.__class__ is dict and all(v.__class__ is bool for v in topics.values())


_RESERVED: Final[dict[str, tuple[Callable[[Any], bool], str]]] = {
    "email": (_is_identifier, "text or null"),
    "anonymous_id": (_is_identifier, "text or null"),
    "created_at": (_is_moment, "whole Unix seconds or null"),
    "cio_subscription_preferences": (_is_preferences, "an object of topics, each true or false"),
    "_timestamp": (lambda value: value is not None and _is_moment(value), "whole Unix seconds"),
    "_update": (lambda value: value.__class__ is bool, "true or false"),
    # v1 and v2 have different forms for it, and neither is an attribute's.
    "cio_relationships": (lambda _: False, "nothing here yet"),
}
