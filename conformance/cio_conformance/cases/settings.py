"""What a fixture may set: the sidecar's settings that change the mapping, and nothing else."""

from collections.abc import Iterable
from typing import Annotated, Any, Final, Literal

from cio_sidecar.mapping.options import Options, read_paths
from pydantic import BaseModel, BeforeValidator, ConfigDict

from cio_conformance.cases.mistakes import shown


def _names(value: Any) -> tuple[str, ...]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(name, str) and name for name in names):
        names = []
    if not names:
        raise ValueError(f"expected names, as a list or separated by commas, got {shown(value)}")
    return tuple(path for name in names for path in read_paths(name))


_Names = Annotated[tuple[str, ...], BeforeValidator(_names)]


class Settings(BaseModel):
    """How the sidecar must be set up for a family's cases: the values that it takes itself."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    event_id: Literal["as_is", "ulid"] = "as_is"
    dates: Literal["as_is", "unix_seconds"] = "as_is"
    identify_timestamp: bool = False
    email: Literal["plain", "hash_only"] = "plain"
    allow_traits: _Names = ()
    deny_traits: _Names = ()
    allow_properties: _Names = ()
    deny_properties: _Names = ()
    limits: Literal["refuse", "truncate"] = "refuse"
    keep_device_events: bool = False

    def texts(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each setting that is given, by name, as variables have them."""
        given = self.model_dump(include=self.model_fields_set)
        return tuple((name, _text(given[name])) for name in sorted(given))


SETTINGS: Final = tuple(Settings.model_fields)
"""The names of all."""


def options_of(texts: Iterable[tuple[str, str]]) -> Options:
    """Settings as the mapping knows them, from what `Settings.texts` gives."""
    given: dict[str, Any] = {}
    for name, text in texts:
        default = getattr(Options(), name)
        if isinstance(default, bool):
            given[name] = text == "true"
        else:
            given[name] = read_paths(text) if isinstance(default, tuple) else text
    return Options(**given)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(value) if isinstance(value, tuple) else str(value)
