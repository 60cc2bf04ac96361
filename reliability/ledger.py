"""What the load generator sent, and what it was told: the judge's side of the truth."""

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Literal

import orjson

Fate = Literal["acked", "rejected"]


@dataclass(slots=True)
class Sent:
    """An event that was sent."""

    id: str
    """Its message_id, a ULID."""
    person: str
    number: int
    """Its place among the person's events, from 1."""
    poison: bool = False
    """Whether Customer.io rejects it permanently."""
    fate: Fate | None = None
    """What the caller was told; None while nothing."""
    sent_at: float = field(default=0.0, compare=False)
    """When it was sent for the first time, in monotonic seconds of the machine."""
    told_at: float | None = field(default=None, compare=False)
    """When its receipt came."""


class Writer:
    """Appends to a ledger: an event before it is sent, and its fate once the caller knows it."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab")
        self.counts = {"sent": 0, "acked": 0, "rejected": 0}

    def sent(self, events: Iterable[Sent]) -> None:
        """They are about to be sent for the first time."""
        now = time.monotonic()
        for event in events:
            self.counts["sent"] += 1
            self._write(
                {
                    "id": event.id,
                    "person": event.person,
                    "n": event.number,
                    "poison": event.poison,
                    "at": now,
                }
            )
        self._file.flush()

    def told(self, fates: Iterable[tuple[str, Fate]]) -> None:
        """Their receipts came."""
        now = time.monotonic()
        for id_, fate in fates:
            self.counts[fate] += 1
            self._write({"id": id_, "fate": fate, "at": now})
        self._file.flush()

    def close(self) -> None:
        """Write no more."""
        self._file.close()

    def _write(self, line: object) -> None:
        self._file.write(orjson.dumps(line) + b"\n")


def read(path: Path) -> dict[str, Sent]:
    """Everything that was sent, by id."""
    events: dict[str, Sent] = {}
    for line in path.read_bytes().splitlines():
        entry = orjson.loads(line)
        if "fate" in entry:
            event = events[entry["id"]]
            event.fate, event.told_at = entry["fate"], entry["at"]
        else:
            events[entry["id"]] = Sent(
                entry["id"],
                entry["person"],
                entry["n"],
                poison=entry["poison"],
                sent_at=entry["at"],
            )
    return events


@dataclass(frozen=True, slots=True)
class Arrival:
    """An event that the receiver took."""

    id: str
    at: float
    """Monotonic seconds, of the machine."""
    clean: bool
    """Whether the answer was sent whole, at once, and says that it was taken."""


def read_arrivals(path: Path) -> list[Arrival]:
    """What the receiver took, in order."""
    return [
        Arrival(entry["id"], entry["at"], entry["clean"])
        for entry in map(orjson.loads, path.read_bytes().splitlines())
    ]


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """An event that the sidecar keeps as rejected."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Hindrance:
    """A fault of process, disk or clock."""

    name: str
    began: float
    """Monotonic seconds, of the machine."""
    ended: float


def write_hindrance(path: Path, hindrance: Hindrance) -> None:
    """Append it to the record of a run."""
    with path.open("ab") as file:
        file.write(orjson.dumps(hindrance) + b"\n")


def read_hindrances(path: Path) -> list[Hindrance]:
    """What was done to the sidecar, in order; nothing where there is no record."""
    lines = path.read_bytes().splitlines() if path.exists() else []
    return [Hindrance(**orjson.loads(line)) for line in lines]


@dataclass(slots=True)
class Interruptions:
    """When the sidecar was killed, stopped or hindered, in monotonic seconds."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def touch(self, start: float, end: float) -> bool:
        """Whether one of them overlaps a span of time."""
        return any(first <= end and last >= start for first, last in self.spans)
