"""Which events are kept, whose they are, and which were repeats."""

from __future__ import annotations

from cio_fake.records import Event, Person, is_ulid

MERGE_SECONDS = 30 * 24 * 3600
"""How old an event may be, by its receipt, to be given to a person later."""


class Events:
    """All events in the order of their receipt."""

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._seen: set[str] = set()
        self._anonymous: dict[str, list[Event]] = {}

    def __len__(self) -> int:
        return len(self._events)

    def all(self) -> list[Event]:
        """Every event kept."""
        return list(self._events)

    def add(self, event: Event) -> bool:
        """Keep an event; False when its id is a ULID that came before.

        Any other id says nothing about repeats, as with the real service.
        """
        if event.id is not None and is_ulid(event.id):
            ulid = event.id.upper()
            if ulid in self._seen:
                return False
            self._seen.add(ulid)
        self._events.append(event)
        if event.person is None and event.anonymous_id is not None:
            self._anonymous.setdefault(event.anonymous_id, []).append(event)
        return True

    def claim(self, anonymous_id: str, person: Person, now: float) -> None:
        """Give the recent anonymous events of an anonymous_id to a person."""
        waiting = self._anonymous.pop(anonymous_id, [])
        for event in waiting:
            if event.received_at >= now - MERGE_SECONDS:
                event.person = person
        if stale := [event for event in waiting if event.person is None]:
            self._anonymous[anonymous_id] = stale

    def move(self, primary: Person, secondary: Person, now: float) -> None:
        """Give one person's recent events to another, and drop the older ones."""
        for event in self._events:
            if event.person is secondary and event.received_at >= now - MERGE_SECONDS:
                event.person = primary
        self.drop(secondary)

    def drop(self, person: Person) -> None:
        """Forget a person's events; their ids stay taken."""
        self._events = [event for event in self._events if event.person is not person]
