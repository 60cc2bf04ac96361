"""A lane: a person, or an anonymous visitor, whose events wait; and a shipment of several. PURE."""

from array import array
from dataclasses import dataclass, field
from enum import Enum

from cio_sidecar.event_queue.model import Leased


class State(Enum):
    """Where a lane is."""

    READY = "ready"
    IN_FLIGHT = "in flight"
    BACKING_OFF = "backing off"
    FETCHING = "fetching"
    """Its next events have to be read from the queue again."""
    GONE = "gone"
    """Drained, or joined to another."""


class Lane:
    """The events of a person that wait, in the order of the queue."""

    __slots__ = ("events", "failed", "failures", "flights", "into", "most", "names", "parked",
                 "ready_at", "seen", "state")  # fmt: skip

    def __init__(self, name: str) -> None:
        self.names = [name]
        """All that it is called: one name, or those of identities that an event joined."""
        self.events: list[Leased] = []
        self.parked: array[int] | None = None
        """Places in the queue of events behind ``events`` that are not held in memory."""
        self.state = State.READY
        self.flights = 0
        """Shipments in flight: one, or several where lanes that were in flight were joined."""
        self.ready_at = 0.0
        self.failures = 0
        """Failed attempts in a row."""
        self.failed = False
        """Whether it backs off once it has no more in flight, whatever comes of that: others of its
        events, before or since it was joined, have failed."""
        self.most = 0
        """Of how many events a shipment may be that it is part of; 0 for no such limit. A lane with
        a limit is suspect: it failed while others did not, and is tried apart from them."""
        self.seen = 0
        """How many shipments of whomever had succeeded when it last failed."""
        self.into: Lane | None = None
        """The lane that it was joined to."""

    @property
    def current(self) -> "Lane":
        """Itself, or the lane that it was joined to."""
        lane: Lane = self
        while lane.into is not None:
            lane = lane.into
        return lane


@dataclass(slots=True)
class Shipment:
    """Events that go together: as one v2 batch, or (a single event) by v1."""

    events: list[Leased]
    by_v1: bool
    lanes: list[Lane] = field(default_factory=list)
    suspect: bool = False
    """Whether it is of lanes that failed while others did not."""
