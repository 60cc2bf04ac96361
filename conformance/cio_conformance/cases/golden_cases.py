"""Golden cases: reading them from YAML."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Protocol, TypeVar

from cio_sidecar.yaml_lines import Document, YamlError, load
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from cio_conformance.cases.mistakes import Mistake, checked, described, found, shown, twins
from cio_conformance.cases.settings import Settings
from cio_conformance.cases.short_forms import expand

Api = Literal["v1", "v2"]

FIXTURES: Final = next(
    (
        folder
        for folder in (
            Path(__file__).parents[1] / "fixtures",  # in an installed package
            Path(__file__).parents[2] / "fixtures",  # in a checkout
        )
        if folder.is_dir()
    ),
    Path("fixtures"),
)
"""The suite's own fixtures."""

_Named = TypeVar("_Named", bound="HasName")


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

    @model_validator(mode="wrap")
    @classmethod
    def _both_or_neither(
        cls, value: Any, handler: ModelWrapValidatorHandler["Expected"]
    ) -> "Expected":
        return checked(value, handler, _bare(value))

    def by(self, api: Api) -> list[ExpectedRequest]:
        """The requests of one API."""
        return self.v1 if api == "v1" else self.v2


class Rejection(_Model):
    """A violation that the caller must be told of."""

    field: str
    reason: _Text


class Case(_Model):
    """An event and what must come of it: requests, or a rejection."""

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
    reject: Annotated[list[Rejection], Field(min_length=1)] = []

    @model_validator(mode="wrap")
    @classmethod
    def _one_end(cls, value: Any, handler: ModelWrapValidatorHandler["Case"]) -> "Case":
        return checked(value, handler, _ends(value))


def _bare(value: Any) -> Iterator[Mistake]:
    match value:
        case {"v1": [], "v2": [_, *_]}:
            bare, other = "v1", "v2"
        case {"v1": [_, *_], "v2": []}:
            bare, other = "v2", "v1"
        case _:
            return
    words = (
        f"{bare} has no request, but {other} has: what the one API carries reaches Customer.io by "
        "the other too"
    )
    yield (), words


def _ends(value: Any) -> Iterator[Mistake]:
    match value:
        case {"expect": _, "reject": _}:
            yield (), "has both expect and reject; a case has exactly one of them"
        case {"expect": _}:
            pass
        case {"reject": _, "warnings": [_, *_]}:
            yield (), "has warnings, but an event that is rejected gets none"
        case {"reject": _}:
            pass
        case {}:
            yield (), "has neither expect nor reject; a case has exactly one of them"


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

    @model_validator(mode="wrap")
    @classmethod
    def _startable(cls, value: Any, handler: ModelWrapValidatorHandler["Family"]) -> "Family":
        return checked(value, handler, _not_documented(value))


def _not_documented(value: Any) -> Iterator[Mistake]:
    match value:
        case {"settings": {"keep_device_events": True}, "cases": [*cases]}:
            for index, case in enumerate(cases):
                if isinstance(case, dict) and case.get("profile") == "documented":
                    words = "with keep_device_events expected standard, which knows device events"
                    yield ("cases", index, "profile"), words


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
            document = _read(file.read_text("utf-8"), file.name)
            name = document.value.get("family") if isinstance(document.value, dict) else None
            if isinstance(name, str) and held_by.setdefault(name, file.name) != file.name:
                words = f"{held_by[name]} has the family {name} already; rename one"
                mistakes.append(f"{file.name}: {words}")
            goldens += _goldens(document, file.name)
        except FixtureError as error:
            mistakes.append(str(error))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            mistakes.append(f"{file.name}: can't be read: {why}")
    if mistakes:
        raise FixtureError("\n".join(mistakes))
    return goldens


def parse_fixtures(text: str, file: str) -> list[Golden]:
    """Read one fixture file. Raises FixtureError with every mistake."""
    return _goldens(_read(text, file), file)


def _read(text: str, file: str) -> Document:
    try:
        return load(text)
    except YamlError as error:
        raise FixtureError(f"{file}:{error.line}: {error.problem}") from None


def _goldens(document: Document, file: str) -> list[Golden]:
    mistakes = twins(document)
    badly_written: list[Mistake] = []
    value = expand(document.value, (), badly_written)
    try:
        family = Family.model_validate(value)
    except ValidationError as error:
        # What is badly written is of the wrong type as well.
        told = {at for at, _ in badly_written}
        mistakes += [each for each in found(error, Family, document) if each[0] not in told]
    mistakes += badly_written
    if mistakes:
        raise FixtureError(described(mistakes, document, file))
    return [Golden(family, case) for case in family.cases]


def select(goldens: Iterable[_Named], pattern: str | None) -> list[_Named]:
    """The cases whose name holds the pattern, a regular expression without regard to case."""
    if not pattern:
        return list(goldens)
    wanted = re.compile(pattern, re.IGNORECASE)
    return [golden for golden in goldens if wanted.search(golden.name)]
