"""The credentials that a sidecar and the fake share."""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Credentials:
    """Site id and API key of the fake's workspace."""

    site_id: str
    api_key: str


DEFAULT: Final = Credentials("conformance-site", "conformance-key")
"""What the suite uses where nothing else is asked for."""
