"""The mutants that are known to change nothing that a case could show, each with a reason."""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Final

from cio_sidecar.yaml_lines import YamlError, load
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from cio_conformance.cases.golden_cases import FIXTURES
from cio_conformance.cases.mistakes import described, found

EQUIVALENTS: Final = FIXTURES.parent / "equivalent_mutants.yaml"
"""The suite's own list."""


class EquivalentsError(Exception):
    """The list can't be used; ``str()`` says why."""


class Equivalents(BaseModel):
    """Mutants that are equivalent for one reason."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    reason: str = Field(min_length=1)
    mutants: list[str] = Field(min_length=1)
    """Their names; one without its ``[profile]`` stands for that of every profile."""


def load_equivalents(path: Path = EQUIVALENTS) -> dict[str, str]:
    """The reason of each mutant by its name. Raises EquivalentsError."""
    try:
        document = load(path.read_text("utf-8"))
        # A list without entries is as good as none.
        groups = TypeAdapter(list[Equivalents]).validate_python(
            [] if document.value is None else document.value
        )
    except YamlError as error:
        raise EquivalentsError(f"{path}:{error.line}: {error.problem}") from None
    except ValidationError as error:
        mistakes = found(error, Equivalents, document)
        raise EquivalentsError(described(mistakes, document, str(path))) from None
    except OSError as error:
        raise EquivalentsError(f"{path}: can't be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise EquivalentsError(f"{path}: can't be read: it is not UTF-8") from None
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
