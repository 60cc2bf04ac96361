"""Golden cases: reading them from YAML."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

from cio_sidecar.mapping.yaml_lines import Document, Location, YamlError, load
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

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

SETTINGS: Final = (
    "event_id",
    "dates",
    "identify_timestamp",
    "email",
    "allow_traits",
    "deny_traits",
    "allow_properties",
    "deny_properties",
    "limits",
    "keep_device_events",
)
"""The sidecar's settings that a fixture may change: those that change the mapping."""

_Named = TypeVar("_Named", bound="HasName")
_SHORT_FORMS: Final = frozenset({"$repeat", "$numbered", "$merge"})


class HasName(Protocol):
    """A case of whatever kind."""

    @property
    def name(self) -> str:
        """Unique among all cases."""


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


def _setting_name(name: str) -> str:
    if name not in SETTINGS:
        raise ValueError(f"a fixture can't set it; it can set {', '.join(SETTINGS)}")
    return name


def _setting_text(value: Any) -> str:
    """A setting's value as its variable and its flag have it."""
    match value:
        case bool():
            return str(value).lower()
        case str() if value:
            return value
        case [*names] if names and all(isinstance(name, str) and name for name in names):
            return ",".join(names)
    raise ValueError(f"expected text, true, false or a list of texts, got {value!r:.60}")


class Family(_Model):
    """Cases that belong together; a fixture file."""

    family: str
    doc: str = ""
    needs: Literal["grpc", "json"] = "grpc"
    """What a caller needs to send the events: the typed messages of gRPC, or loose JSON, whose
    events those messages can't hold."""
    settings: dict[
        Annotated[str, AfterValidator(_setting_name)], Annotated[Any, AfterValidator(_setting_text)]
    ] = {}
    """How the sidecar must be set up besides, as text by the setting's name: see `SETTINGS`."""
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

    @property
    def settings(self) -> tuple[tuple[str, str], ...]:
        """Name and value of each setting that the case needs, by name."""
        return tuple(sorted(self.family.settings.items()))


def load_fixtures(folder: Path = FIXTURES) -> list[Golden]:
    """Read every fixture file of a folder. Raises FixtureError with every mistake."""
    goldens: list[Golden] = []
    mistakes: list[str] = []
    files = sorted(folder.glob("*.yaml"))
    if not files:
        raise FixtureError(f"expected a folder with fixture files (*.yaml), got {folder}")
    held_by: dict[str, str] = {}
    for file in files:
        try:
            found = parse_fixtures(file.read_text("utf-8"), file.name)
        except FixtureError as error:
            mistakes.append(str(error))
            continue
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            mistakes.append(f"{file.name}: can't be read: {why}")
            continue
        family = found[0].family.family
        if (other := held_by.setdefault(family, file.name)) != file.name:
            mistakes.append(f"{file.name}: {other} has the family {family} already; rename one")
        goldens += found
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
        family = Family.model_validate(expand(document.value, (), document, file))
    except ValidationError as error:
        raise FixtureError(
            "\n".join(
                f"{file}:{document.line(detail['loc'])}: {explain(detail)}"
                for detail in error.errors()
            )
        ) from None
    lines: dict[str, int] = {}
    for index, case in enumerate(family.cases):
        line = document.line(("cases", index))
        if (first := lines.setdefault(case.name, line)) != line:
            raise FixtureError(
                f"{file}:{line}: the case of line {first} has the name {case.name!r} already; "
                "rename one"
            )
    return [Golden(family, case) for case in family.cases]


def select(goldens: Iterable[_Named], pattern: str | None) -> list[_Named]:
    """The cases whose name holds the pattern, a regular expression without regard to case."""
    if not pattern:
        return list(goldens)
    wanted = re.compile(pattern, re.IGNORECASE)
    return [golden for golden in goldens if wanted.search(golden.name)]


def explain(detail: ErrorDetails) -> str:
    """A mistake that pydantic found: where, what was expected, what came."""
    # pydantic marks an object's key as such.
    where = ".".join(str(part) for part in detail["loc"] if part != "[key]")
    if detail["type"] == "extra_forbidden":
        return f"{where}: there is no such key"
    if detail["type"] == "missing":
        return f"{where}: is missing"
    problem = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "value_error":
        return f"{where}: {problem}"
    return f"{where}: {problem[0].lower()}{problem[1:]}, got {detail['input']!r:.60}"


def expand(value: Any, at: Location, document: Document, file: str) -> Any:
    """Write out the short forms ``$repeat``, ``$numbered`` and ``$merge``. Raises FixtureError."""
    match value:
        case {"$repeat": str(text), "times": int(times), **rest} if not rest:
            return text * times
        case {"$numbered": str(prefix), "count": int(count), **rest} if not rest:
            return {f"{prefix}{number}": number for number in range(count)}
        case {"$merge": list(parts), **rest} if not rest:
            written = [
                expand(part, (*at, "$merge", index), document, file)
                for index, part in enumerate(parts)
            ]
            if all(isinstance(part, dict) for part in written):
                return {key: item for part in written for key, item in part.items()}
        case dict() if _SHORT_FORMS.isdisjoint(value):
            return {key: expand(item, (*at, key), document, file) for key, item in value.items()}
        case list():
            return [expand(item, (*at, index), document, file) for index, item in enumerate(value)]
        case dict():
            pass
        case _:
            return value
    raise FixtureError(
        f"{file}:{document.line(at)}: expected {{$repeat: text, times: number}}, {{$numbered: "
        f"prefix, count: number}} or {{$merge: [objects]}}, got the keys {', '.join(value)}"
    )
