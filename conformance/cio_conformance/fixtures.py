"""Golden cases: reading them from YAML."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from cio_sidecar.mapping.yaml_lines import YamlError, load
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

Api = Literal["v1", "v2"]

FIXTURES: Final = next(
    (
        folder
        for folder in (
            Path(__file__).parent / "fixtures",  # in an installed package
            Path(__file__).parent.parent / "fixtures",  # in a checkout
        )
        if folder.is_dir()
    ),
    Path("fixtures"),
)
"""The suite's own fixtures."""


class FixtureError(Exception):
    """A fixture file can't be used; ``str()`` names file, line and what is wrong."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ExpectedRequest(_Model):
    """A request that Customer.io must receive; in v2 an item of a batch."""

    method: str
    path: str
    body: Any


class Expected(_Model):
    """What Customer.io must receive for the event, by API."""

    v1: list[ExpectedRequest]
    v2: list[ExpectedRequest]

    def by(self, api: Api) -> list[ExpectedRequest]:
        """The requests of one API."""
        return self.v1 if api == "v1" else self.v2


class Refusal(_Model):
    """A violation that the caller must be told of."""

    field: str
    reason: str


class Case(_Model):
    """An event and what must come of it: requests, or a refusal."""

    name: str
    covers: list[str] = []
    profile: Literal["documented", "standard"] = "standard"
    event: dict[str, Any]
    expect: Expected | None = None
    warnings: list[str] = []
    """The fields, as the caller wrote them, that the caller must be warned of."""
    refuse: list[Refusal] = []

    @model_validator(mode="after")
    def _one_end(self) -> "Case":
        if (self.expect is None) == (not self.refuse):
            raise ValueError("a case has exactly one of expect and refuse")
        return self


class Family(_Model):
    """Cases that belong together; a fixture file."""

    family: str
    doc: str = ""
    needs: Literal["grpc", "json"] = "grpc"
    """What a caller needs to send the events: the typed messages of gRPC, or loose JSON, whose
    events those messages can't hold."""
    cases: list[Case] = Field(min_length=1)


@dataclass(frozen=True, slots=True)
class Golden:
    """A case with the family it belongs to."""

    family: Family
    case: Case

    @property
    def name(self) -> str:
        """Unique among all cases: ``page: known person``."""
        return f"{self.family.family}: {self.case.name}"


def load_fixtures(folder: Path = FIXTURES) -> list[Golden]:
    """Read every fixture file of a folder. Raises FixtureError with every mistake."""
    goldens: list[Golden] = []
    mistakes: list[str] = []
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise FixtureError(f"{folder} holds no fixture files (*.yaml)")
    for file in files:
        try:
            goldens += parse_fixtures(file.read_text("utf-8"), file.name)
        except FixtureError as error:
            mistakes.append(str(error))
    if mistakes:
        raise FixtureError("\n".join(mistakes))
    return goldens


def parse_fixtures(text: str, file: str) -> list[Golden]:
    """Read one fixture file. Raises FixtureError."""
    try:
        document = load(text)
    except YamlError as error:
        raise FixtureError(f"{file}:{error.line}: {error.problem}") from None
    try:
        family = Family.model_validate(_expand(document.value))
    except ValidationError as error:
        raise FixtureError(
            "\n".join(
                f"{file}:{document.line(detail['loc'])}: "
                f"{'.'.join(map(str, detail['loc']))}: {detail['msg']}"
                for detail in error.errors()
            )
        ) from None
    names = [case.name for case in family.cases]
    repeated = {name for name in names if names.count(name) > 1}
    if repeated:
        raise FixtureError(f"{file}: several cases have the name {', '.join(sorted(repeated))}")
    return [Golden(family, case) for case in family.cases]


def select(goldens: Iterable[Golden], pattern: str | None) -> list[Golden]:
    """The cases whose name holds the pattern, a regular expression without regard to case."""
    if not pattern:
        return list(goldens)
    wanted = re.compile(pattern, re.IGNORECASE)
    return [golden for golden in goldens if wanted.search(golden.name)]


def _expand(value: Any) -> Any:
    """Write out the short forms ``$repeat``, ``$numbered`` and ``$merge``."""
    match value:
        case {"$repeat": text, "times": times}:
            return str(text) * int(times)
        case {"$numbered": prefix, "count": count}:
            return {f"{prefix}{number}": number for number in range(int(count))}
        case {"$merge": parts}:
            return {key: item for part in parts for key, item in _expand(part).items()}
        case dict():
            return {key: _expand(item) for key, item in value.items()}
        case list():
            return [_expand(item) for item in value]
    return value
