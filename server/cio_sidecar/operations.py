"""The operations that Customer.io can be asked, and their keys: read from operations.yaml. PURE.

The one thing that mapping tables, which fill in the keys, and the encoders, which write the
requests, have in common.
"""

from importlib.resources import files
from typing import Any, Final, Literal

import yaml
from pydantic import BaseModel, ConfigDict

KeyType = Literal["person", "id", "text", "seconds", "scalar", "object", "texts", "attributes"]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Key(_Model):
    """What a table can set in an operation."""

    type: KeyType
    required: bool = False
    one_of: tuple[str, ...] = ()
    only: dict[str, tuple[str, ...]] = {}
    """The only values that names in the object may have."""
    digits: bool = False
    """Whether the text is a whole number from 1, in digits."""


class V1(_Model):
    """A Track API v1 request as a template over the v2 item."""

    method: Literal["POST", "PUT", "DELETE"]
    path: str
    body: dict[str, Any] | None = None


class Spec(_Model):
    """An operation. The templates' language is told in operations.yaml."""

    doc: str
    keys: dict[str, Key]
    open: bool = False
    """Whether any other key is an attribute."""
    lane: str = ""
    joins: str = ""
    differ: tuple[str, str] | None = None
    v2: dict[str, Any] | None = None
    v2_only_if: dict[str, tuple[str, ...] | Literal[True]] = {}
    v1: V1 | Literal["entity"] | None = None
    beside: tuple[str, ...] = ()


OPERATIONS: Final[dict[str, Spec]] = {
    name: Spec.model_validate(raw)
    for name, raw in yaml.safe_load(
        files("cio_sidecar").joinpath("operations.yaml").read_text("utf-8")
    ).items()
}
"""Every operation by its name."""
