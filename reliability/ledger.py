"""What the load generator sent, and what it was told: the judge's side of the truth."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, Literal

import orjson

Fate = Literal["acked", "refused"]


@dataclass(slots=True)
class Sent:
    """An event that was sent."""

    id: str
    """Its message_id, a ULID."""
    person: str
    number: int
    """Its place among the person's events, from 1."""
    poison: bool = False
    """Whether Customer.io refuses it for good."""
    fate: Fate | None = None
    """What the caller was told; None while nothing."""


class Writer:
    """Appends to a ledger: an event before it is sent, and its fate once the caller knows it."""

    def __init__(self, path: Path) -> None:
        self._file: IO[bytes] = path.open("ab")
        self.counts = {"sent": 0, "acked": 0, "refused": 0}

    def sent(self, events: Iterable[Sent]) -> None:
        """They are about to be sent for the first time."""
        for event in events:
            self.counts["sent"] += 1
            self._write(
                {"id": event.id, "person": event.person, "n": event.number, "poison": event.poison}
            )
        self._file.flush()

    def told(self, fates: Iterable[tuple[str, Fate]]) -> None:
        """Their receipts came."""
        for id_, fate in fates:
            self.counts[fate] += 1
            self._write({"id": id_, "fate": fate})
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
            events[entry["id"]].fate = entry["fate"]
        else:
            events[entry["id"]] = Sent(
                entry["id"], entry["person"], entry["n"], poison=entry["poison"]
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
    """An event that the sidecar keeps as refused."""

    id: str
    reason: str


@dataclass(slots=True)
class Interruptions:
    """When the sidecar was killed, stopped or hindered, in monotonic seconds."""

    spans: list[tuple[float, float]] = field(default_factory=list)

    def touch(self, start: float, end: float) -> bool:
        """Whether one of them overlaps a span of time."""
        return any(first <= end and last >= start for first, last in self.spans)


NOTHING: Final = Interruptions()
