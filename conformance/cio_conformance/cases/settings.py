"""What a fixture may set: the sidecar's settings that change the mapping, and nothing else."""

from collections.abc import Iterable
from typing import Any, Final

from cio_sidecar.mapping_options import MappingOptions, read_paths
from pydantic import ConfigDict, field_validator

from cio_conformance.cases.mistakes import shown


class Settings(MappingOptions):
    """How the sidecar must be set up for a family's cases: the values that it takes itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    @field_validator(
        "allow_traits", "deny_traits", "allow_properties", "deny_properties", mode="before"
    )
    @classmethod
    def _names(cls, value: Any) -> Any:
        names = [value] if isinstance(value, str) else value
        if (
            not isinstance(names, list)
            or not names
            or not all(isinstance(name, str) and name for name in names)
        ):
            raise ValueError(
                f"expected names, as a list or separated by commas, got {shown(value)}"
            )
        return [path for name in names for path in read_paths(name)]

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each setting that is given, by name, as variables have them."""
        given = self.model_dump(include=self.model_fields_set)
        return tuple((name, _text(given[name])) for name in sorted(given))


SETTINGS: Final = tuple(Settings.model_fields)
"""The names of all."""


def options_of(texts: Iterable[tuple[str, str]]) -> MappingOptions:
    """Settings as the mapping knows them, from what `Settings.texts` gives."""
    return MappingOptions.model_validate(dict(texts))


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)
