"""What a workspace does with accepted calls, neutral of the API's version.

Each method answers as the real service does: what cannot be applied is ignored without an error,
and counted in `ignored` by its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from cio_fake.events import Events
from cio_fake.objects import Objects, merge_attributes
from cio_fake.people import People
from cio_fake.records import Device, Event, Identifier, Person


class Store:
    """People, events, objects, deliveries; times are Unix seconds, and come from the caller."""

    def __init__(self) -> None:
        self.people = People()
        self.events = Events()
        self.objects = Objects()
        self.deliveries: list[dict[str, Any]] = []
        self.ignored: Counter[str] = Counter()
        """`repeat`, `suppressed`, `unknown`, `stale`, `conflict`: how often."""

    # People

    def identify(
        self,
        who: Identifier,
        attributes: Mapping[str, Any],
        now: float,
        *,
        timestamp: int | None = None,
        update_only: bool = False,
    ) -> Person | None:
        """Add or update a person; a null attribute is unset.

        `timestamp` is when the caller saw the change: what is older than the person's last edit
        is dropped. `update_only` creates nobody. Returns None when nothing was done.
        """
        named = [
            Identifier(kind, attributes[kind]) for kind in ("id", "email") if attributes.get(kind)
        ]
        if self._is_suppressed([who, *named]):
            return None
        # An identifier in the body finds a person too, unless a cio_id says who is meant.
        finders = [who] if who.kind == "cio_id" else [who, *named]
        person = next((found for w in finders if (found := self.people.find(w))), None)
        if person is None:
            if update_only or who.kind == "cio_id":
                self._ignore("unknown")
                return None
            person = self.people.create(who)
        if timestamp is not None and timestamp < person.edited_at:
            self._ignore("stale")
            return None
        if attributes:
            edited_at = int(now) if timestamp is None else timestamp
            person.edited_at = max(person.edited_at, edited_at)
        self.people.assign(person, who)
        self._merge(person, who, attributes, now)
        return person

    def delete(self, who: Identifier) -> None:
        """Remove a person with all that is theirs."""
        person = self.people.find(who)
        if person is None:
            self._ignore("unknown")
            return
        self.people.remove(person)
        self.events.drop(person)
        self.objects.forget(("cio_id", person.cio_id))

    def suppress(self, who: Identifier) -> None:
        """Remove a person, and ignore the identifiers from now on."""
        person = self.people.find(who)
        self.people.suppress(who, person)
        if person is not None:
            self.delete(who)

    def unsuppress(self, who: Identifier) -> None:
        """Accept a person's identifiers again; what was removed stays removed."""
        self.people.unsuppress(who)

    def merge(self, primary: Identifier, secondary: Identifier, now: float) -> None:
        """Fold one person into another, who keeps what they have.

        Nothing happens when either is unknown, or both are one.
        """
        keeper, goer = self.people.find(primary), self.people.find(secondary)
        if keeper is None or goer is None or keeper is goer:
            self._ignore("unknown")
            return
        for name, value in goer.attributes.items():
            if keeper.attributes.get(name) in (None, ""):
                keeper.attributes[name] = value
        keeper.devices = {**goer.devices, **keeper.devices}
        keeper.segments |= goer.segments
        self.events.move(keeper, goer, now)
        self.objects.rename(("cio_id", goer.cio_id), ("cio_id", keeper.cio_id))
        self.people.absorb(keeper, goer)

    def add_device(self, who: Identifier, device: Device) -> None:
        """Add a device to a person, or replace the one with its token."""
        if person := self._resolve(who):
            person.devices[device.token] = device

    def delete_device(self, who: Identifier, token: str) -> None:
        """Remove a person's device."""
        person = self.people.find(who)
        if person is None or person.devices.pop(token, None) is None:
            self._ignore("unknown")

    def place(self, segment: int, people: Iterable[Identifier], *, inside: bool) -> None:
        """Put known people into a manual segment, or take them out."""
        for who in people:
            person = self.people.find(who)
            if person is None:
                self._ignore("unknown")
            elif inside:
                person.segments.add(segment)
            else:
                person.segments.discard(segment)

    # Events

    def record(self, who: Identifier | None, event: Event) -> None:
        """Keep an event of a person, of an anonymous_id, or of nobody (an invite).

        A person not yet known is added; an anonymous_id that a person has claimed is that person.
        """
        if who is None or who.kind == "anonymous_id":
            event.person = self.people.find(who) if who else None
        else:
            event.person = self._resolve(who)
            if event.person is None:
                return
        if not self.events.add(event):
            self._ignore("repeat")

    # Objects

    def identify_object(self, identifiers: Mapping[str, str], given: Mapping[str, Any]) -> None:
        """Add or update an object."""
        if held := self.objects.find_or_create(identifiers):
            merge_attributes(held.attributes, given)
        else:
            self._ignore("unknown")

    def delete_object(self, identifiers: Mapping[str, str]) -> None:
        """Remove an object with its relationships."""
        if not self.objects.remove(identifiers):
            self._ignore("unknown")

    def relate(
        self, identifiers: Mapping[str, str], who: Identifier, given: Mapping[str, Any]
    ) -> None:
        """Relate a person, known or anonymous, to an object; either is added if need be.

        Nothing is added for somebody who is suppressed or an unknown cio_id.
        """
        anonymous = who.kind == "anonymous_id"
        person = self.people.find(who) if anonymous else self._resolve(who)
        if person is None and not anonymous:
            return
        held = self.objects.find_or_create(identifiers)
        if held is None:
            self._ignore("unknown")
            return
        related = ("cio_id", person.cio_id) if person else ("anonymous_id", who.value)
        merge_attributes(held.people.setdefault(related, {}), given)

    def unrelate(self, identifiers: Mapping[str, str], who: Identifier) -> None:
        """Undo a relationship."""
        person, held = self.people.find(who), self.objects.find(identifiers)
        if not person or not held or held.people.pop(("cio_id", person.cio_id), None) is None:
            self._ignore("unknown")

    # Within

    def _ignore(self, reason: str) -> None:
        self.ignored[reason] += 1

    def _is_suppressed(self, identifiers: Iterable[Identifier]) -> bool:
        suppressed = self.people.is_suppressed(identifiers)
        if suppressed:
            self._ignore("suppressed")
        return suppressed

    def _resolve(self, who: Identifier) -> Person | None:
        """The person meant, added if need be; None when suppressed or an unknown cio_id."""
        if self._is_suppressed([who]):
            return None
        person = self.people.find(who)
        if person is None and who.kind == "cio_id":
            self._ignore("unknown")
            return None
        return person or self.people.create(who)

    def _merge(self, person: Person, who: Identifier, given: Mapping[str, Any], now: float) -> None:
        for name, value in given.items():
            if name in ("id", "email"):
                self._rename(person, who, name, value)
            elif value is None:
                person.attributes.pop(name, None)
            else:
                person.attributes[name] = value
        anonymous_id = given.get("anonymous_id")
        if anonymous_id and self.people.claim(person, anonymous_id):
            self.events.claim(anonymous_id, person, now)
            self.objects.rename(("anonymous_id", anonymous_id), ("cio_id", person.cio_id))

    def _rename(self, person: Person, who: Identifier, kind: str, value: str | None) -> None:
        """Set an identifier where Customer.io would; elsewhere it has an attribute update failure.

        An id that is set changes only by cio_id; an email may be replaced by id, as workspaces do
        that allow it. Nobody loses the identifier they were just named by.
        """
        held = getattr(person, kind)
        if held == value:
            return
        if value is None:
            allowed = kind != who.kind
            if allowed:
                self.people.withdraw(person, kind)
        else:
            fixed = held is not None and who.kind != "cio_id" and kind in ("id", who.kind)
            allowed = not fixed and self.people.assign(person, Identifier(kind, value))
        if not allowed:
            self._ignore("conflict")
