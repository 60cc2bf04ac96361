"""Golden cases: reading them from YAML."""

import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

from cio_sidecar.mapping.yaml_lines import Document, Location, YamlError, load
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from cio_conformance.mistakes import described, place, shown
from cio_conformance.settings import Settings

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

_Named = TypeVar("_Named", bound="HasName")
_SHORT_FORMS: Final = frozenset({"$repeat", "$numbered", "$merge"})
_FREE: Final = frozenset({"event", "body"})
"""What holds any JSON, and short forms."""
_MOST: Final = {"times": 1_000_000, "count": 100_000}
"""How far a short form may go: beyond every limit, and within a machine's memory."""


class HasName(Protocol):
    """A case of whatever kind."""

    @property
    def name(self) -> str:
        """Unique among all cases."""


class FixtureError(Exception):
    """A fixture file can't be used; ``str()`` names file, line and what is wrong."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


def _a_name(name: str) -> str:
    if not name or name != name.strip() or "\n" in name:
        raise ValueError(f"expected text of one line without blanks around it, got {shown(name)}")
    return name


def _a_method(method: str) -> str:
    if method not in ("POST", "PUT", "DELETE"):
        raise ValueError(f"expected POST, PUT or DELETE, got {shown(method)}")
    return method


def _a_path(path: str) -> str:
    if not path.startswith("/"):
        raise ValueError(f"expected a path that begins with /, got {shown(path)}")
    return path


def _given(value: Any) -> Any:
    if value is None:
        raise ValueError("expected an object with v1 and v2, got nothing")
    return value


Name = Annotated[str, AfterValidator(_a_name)]
"""What a case or a family is called, as a line of a list can name it."""
_Text = Annotated[str, Field(min_length=1)]


class ExpectedRequest(_Model):
    """A request that Customer.io must receive; in v2 an item of a batch."""

    method: Annotated[str, AfterValidator(_a_method)]
    path: Annotated[str, AfterValidator(_a_path)]
    body: Any


class Expected(_Model):
    """What Customer.io must receive for the event, by API."""

    v1: list[ExpectedRequest]
    v2: list[ExpectedRequest]

    @model_validator(mode="after")
    def _both_or_neither(self) -> "Expected":
        if bool(self.v1) != bool(self.v2):
            bare, other = ("v1", "v2") if self.v2 else ("v2", "v1")
            raise ValueError(
                f"{bare} has no request, but {other} has: what the one API carries reaches "
                "Customer.io by the other too"
            )
        return self

    def by(self, api: Api) -> list[ExpectedRequest]:
        """The requests of one API."""
        return self.v1 if api == "v1" else self.v2


class Refusal(_Model):
    """A violation that the caller must be told of."""

    field: str
    reason: _Text


class Case(_Model):
    """An event and what must come of it: requests, or a refusal."""

    name: Name
    origin: _Text = ""
    """What users ran into elsewhere, that the case comes from: a public thread as
    ``owner/name#number``, or ``pitfall: `` and words where there is no single one."""
    covers: list[_Text] = []
    profile: Literal["documented", "standard"] = "standard"
    event: dict[str, Any]
    expect: Annotated[Expected | None, BeforeValidator(_given)] = None
    warnings: list[_Text] = []
    """The fields, as the caller wrote them, that the caller must be warned of."""
    refuse: Annotated[list[Refusal], Field(min_length=1)] = []

    @model_validator(mode="after")
    def _one_end(self) -> "Case":
        if self.expect is None and not self.refuse:
            raise ValueError("has neither expect nor refuse; a case has exactly one of them")
        if self.expect is not None and self.refuse:
            raise ValueError("has both expect and refuse; a case has exactly one of them")
        if self.refuse and self.warnings:
            raise ValueError("has warnings, but an event that is refused gets none")
        return self


class Family(_Model):
    """Cases that belong together; a fixture file."""

    family: Name
    doc: str = ""
    needs: Literal["grpc", "json"] = "grpc"
    """What a caller needs to send the events: the typed messages of gRPC, or loose JSON, whose
    events those messages can't hold."""
    settings: Settings = Settings()
    """How the sidecar must be set up besides."""
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
        return self.family.settings.texts()


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
        raise FixtureError(described(error, Family, document, file)) from None
    refuse_twins(family.cases, document, file)
    return [Golden(family, case) for case in family.cases]


def refuse_twins(cases: Sequence[HasName], document: Document, file: str) -> None:
    """Raise FixtureError where two cases of a file have one name."""
    lines: dict[str, int] = {}
    for index, case in enumerate(cases):
        line = document.line(("cases", index))
        if case.name in lines:
            raise FixtureError(
                f"{file}:{line}: the case of line {lines[case.name]} has the name {case.name!r} "
                "already; rename one"
            )
        lines[case.name] = line


def select(goldens: Iterable[_Named], pattern: str | None) -> list[_Named]:
    """The cases whose name holds the pattern, a regular expression without regard to case."""
    if not pattern:
        return list(goldens)
    wanted = re.compile(pattern, re.IGNORECASE)
    return [golden for golden in goldens if wanted.search(golden.name)]


def expand(value: Any, at: Location, document: Document, file: str) -> Any:
    """Write out the short forms ``$repeat``, ``$numbered`` and ``$merge``, which what stands in an
    event or a body may have. Raises FixtureError.
    """
    match value:
        case dict() if _SHORT_FORMS.isdisjoint(value):
            return {key: expand(item, (*at, key), document, file) for key, item in value.items()}
        case list():
            return [expand(item, (*at, index), document, file) for index, item in enumerate(value)]
        case float() if "body" in at and not math.isfinite(value):
            problem = "expected what JSON can hold: no request holds NaN or infinity"
        case dict() if _FREE.isdisjoint(at):
            problem = f"{', '.join(_SHORT_FORMS & {*value})} is for what stands in event or body"
        case dict():
            return _long_form(value, at, document, file)
        case _:
            return value
    raise FixtureError(f"{place(document, at, file)}{problem}")


def _long_form(value: dict[str, Any], at: Location, document: Document, file: str) -> Any:
    match value:
        case {"$repeat": str(text), "times": times, **rest} if not rest and _fits(times, "times"):
            return text * times
        case {"$numbered": str(prefix), "count": count, **rest} if not rest and _fits(
            count, "count"
        ):
            return {f"{prefix}{number}": number for number in range(count)}
        case {"$merge": list(parts), **rest} if not rest:
            written = [
                expand(part, (*at, "$merge", index), document, file)
                for index, part in enumerate(parts)
            ]
            if all(isinstance(part, dict) for part in written):
                return {key: item for part in written for key, item in part.items()}
    most = " and ".join(f"{name} to {number:,}" for name, number in _MOST.items())
    raise FixtureError(
        f"{place(document, at, file)}expected {{$repeat: text, times: number}}, {{$numbered: "
        f"prefix, count: number}} or {{$merge: [objects]}} ({most}), got {shown(value)}"
    )


def _fits(number: Any, name: str) -> bool:
    return type(number) is int and 0 <= number <= _MOST[name]
