"""Delivery cases: reading them from YAML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, Self

from cio_fake.scenario import Step
from cio_fake.scenario_reader import read_scenario
from cio_sidecar.yaml_lines import YamlError, load
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cio_conformance.cases.golden_cases import FixtureError, Name
from cio_conformance.cases.mistakes import described, found, twins

CASES: Final = next(
    (
        folder
        for folder in (
            Path(__file__).parent / "cases",  # in an installed package
            Path(__file__).parent.parent.parent / "delivery",  # in a checkout
        )
        if folder.is_dir()
    ),
    Path("delivery"),
)
"""The suite's own delivery cases."""


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Act(_Model):
    """One thing that is done, or waited for; exactly one key is given."""

    fake: list[dict[str, Any]] | None = None
    """The fake plays these steps from now on."""
    send: list[str] | None = None
    """These events are sent with one call."""
    asked: int | None = None
    """Wait until so many requests about events have come since the case began."""
    settled: list[str] | None = None
    """Wait until these events are taken or rejected."""
    credentials: Literal["right", "wrong"] | None = None
    """The fake takes the sidecar's credentials, or rejects them."""

    @model_validator(mode="after")
    def _one_key(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError(f"give exactly one of {', '.join(type(self).model_fields)}")
        read_scenario({"steps": self.fake or []})
        return self

    @property
    def steps(self) -> list[Step]:
        """What the fake is to play."""
        return read_scenario({"steps": self.fake or []})


class Expected(_Model):
    """Where each event of the case must end."""

    taken: dict[str, list[str]] = {}
    """By person: the events that Customer.io takes, in this order."""
    rejected: list[str] = []
    """The events that Customer.io rejects, and that aren't sent again: dead letters."""
    order: list[str] = []
    """Events of several persons that must end in this order: identities that an event joins."""


class DeliveryCase(_Model):
    """Events, what happens while they are delivered, and what must come of them."""

    name: Name
    doc: str = ""
    events: dict[str, dict[str, Any]] = Field(min_length=1)
    """By a name within the case, in the order in which they are sent. The name stands for the
    message id; `$name` as a value within any event does as well."""
    operations: dict[str, int] = {}
    """Of how many operations an event consists, where it isn't one."""
    scenario: list[dict[str, Any]] = []
    """What the fake plays while all events are sent with one call: short for a `play`."""
    play: list[Act] = []
    expect: Expected

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        read_scenario({"steps": self.scenario})
        if self.play and self.scenario:
            raise ValueError("a case has scenario or play, not both")
        sent = [name for act in self.acts for name in act.send or []]
        ends = [name for names in self.expect.taken.values() for name in names]
        for what, names in (
            ("is sent once", sent),
            ("ends once, in taken or rejected", [*ends, *self.expect.rejected]),
        ):
            if sorted(names) != sorted(self.events):
                raise ValueError(f"each of the events {', '.join(self.events)} {what}")
        used = [
            *self.operations,
            *self.expect.order,
            *(name for act in self.acts for name in act.settled or []),
        ]
        if unknown := set(used) - self.events.keys():
            raise ValueError(f"there is no event {', '.join(sorted(unknown))}")
        for person, names in self.expect.taken.items():
            if wrong := [name for name in names if person_of(self.events[name]) != person]:
                raise ValueError(f"{', '.join(wrong)}: not of {person}")
        return self

    @property
    def acts(self) -> Sequence[Act]:
        """What is done, in order."""
        return self.play or [Act(fake=self.scenario), Act(send=list(self.events))]


class DeliveryFamily(_Model):
    """Cases that belong together; a file."""

    family: Name
    doc: str = ""
    cases: list[DeliveryCase] = Field(min_length=1)

    @property
    def needs(self) -> Literal["grpc"]:
        """What a caller needs to send the events."""
        return "grpc"


@dataclass(frozen=True, slots=True)
class DeliveryGolden:
    """A case with the family it belongs to."""

    family: DeliveryFamily
    case: DeliveryCase

    @property
    def name(self) -> str:
        """Unique among all cases: ``retries: 429, then success``."""
        return f"{self.family.family}: {self.case.name}"


def person_of(event: Mapping[str, Any]) -> str:
    """Whose order an event belongs to: the user's, else the anonymous visitor's."""
    return str(event.get("userId") or event.get("anonymousId"))


def load_cases(folder: Path = CASES) -> list[DeliveryGolden]:
    """Read every file of a folder. Raises FixtureError with every mistake."""
    goldens: list[DeliveryGolden] = []
    mistakes: list[str] = []
    for file in sorted(folder.glob("*.yaml")):
        try:
            goldens += parse_cases(file.read_text("utf-8"), file.name)
        except FixtureError as error:
            mistakes.append(str(error))
        except (OSError, UnicodeDecodeError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            mistakes.append(f"{file.name}: can't be read: {why}")
    names = [golden.name for golden in goldens]
    mistakes += [
        f"{folder}: two files have a case {name!r}"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]
    if mistakes:
        raise FixtureError("\n".join(mistakes))
    if not goldens:
        raise FixtureError(f"expected a folder with delivery cases (*.yaml), got {folder}")
    return goldens


def parse_cases(text: str, file: str) -> list[DeliveryGolden]:
    """Read one file. Raises FixtureError."""
    try:
        document = load(text)
    except YamlError as error:
        raise FixtureError(f"{file}:{error.line}: {error.problem}") from None
    mistakes = twins(document)
    try:
        family = DeliveryFamily.model_validate(document.value)
    except ValidationError as error:
        mistakes += found(error, DeliveryFamily, document)
    if mistakes:
        raise FixtureError(described(mistakes, document, file))
    return [DeliveryGolden(family, case) for case in family.cases]
