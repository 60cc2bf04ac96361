"""The mutants that are known to change nothing that a case could show, each with a reason."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cio_conformance.fixtures import FIXTURES

EQUIVALENTS: Final = FIXTURES.parent / "equivalent_mutants.yaml"
"""The suite's own list."""


class EquivalentsError(Exception):
    """The list can't be used; ``str()`` says why."""


class Equivalents(BaseModel):
    """Mutants that are equivalent for one reason."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = Field(min_length=1)
    mutants: tuple[str, ...] = Field(min_length=1)
    """Their names; one without its ``[profile]`` stands for that of every profile."""


def load_equivalents(path: Path = EQUIVALENTS) -> dict[str, str]:
    """The reason of each mutant by its name. Raises EquivalentsError."""
    try:
        raw = yaml.safe_load(path.read_text("utf-8"))
        groups = TypeAdapter(list[Equivalents]).validate_python(raw or [])
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValidationError) as error:
        raise EquivalentsError(f"{path}: {error}") from None
    reasons: dict[str, str] = {}
    for group in groups:
        for name in group.mutants:
            if name in reasons:
                raise EquivalentsError(f"{path}: {name!r} stands there twice; leave one out")
            reasons[name] = group.reason
    return reasons


def without_profile(name: str) -> str:
    """A mutant's name without its ``[profile]``."""
    return name.rpartition(" [")[0] if name.endswith("]") else name


def gone(reasons: Iterable[str], names: Collection[str]) -> list[str]:
    """Those entries that stand for no mutant of these names."""
    known = {*names, *map(without_profile, names)}
    return [name for name in reasons if name not in known]
