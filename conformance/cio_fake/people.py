"""Who is known: people by their identifiers, and which identifiers are suppressed."""

from __future__ import annotations

from collections.abc import Iterable

from cio_fake.records import Identifier, Person

_KINDS = ("id", "email", "phone")
Key = tuple[str, str]


class People:
    """People by cio_id and by every other identifier they have."""

    def __init__(self) -> None:
        self._people: dict[str, Person] = {}
        self._index: dict[Key, Person] = {}
        self._anonymous: dict[str, Person] = {}
        self._suppressed: dict[Key, frozenset[Key]] = {}
        self._assigned = 0

    def __len__(self) -> int:
        return len(self._people)

    def all(self) -> list[Person]:
        """Everybody, in the order in which they were added."""
        return list(self._people.values())

    def find(self, who: Identifier) -> Person | None:
        """The person whom an identifier names, by `anonymous_id` whoever claimed it."""
        if who.kind == "anonymous_id":
            return self._anonymous.get(who.value)
        return self._index.get(who.key)

    def create(self, who: Identifier) -> Person:
        """Add a person, with the next cio_id."""
        self._assigned += 1
        person = Person(cio_id=f"{self._assigned:08x}")
        self._people[person.cio_id] = person
        self._index["cio_id", person.cio_id] = person
        self.assign(person, who)
        return person

    def assign(self, person: Person, who: Identifier) -> bool:
        """Give a person an identifier, in place of one of the same kind.

        Returns whether it was free; False leaves all as it was.
        """
        if who.kind not in _KINDS:
            return self.find(who) is person
        if self._index.get(who.key, person) is not person:
            return False
        self.withdraw(person, who.kind)
        setattr(person, who.kind, who.value)
        self._index[who.key] = person
        return True

    def withdraw(self, person: Person, kind: str) -> None:
        """Take an identifier of one kind away from a person, if there is one."""
        value = getattr(person, kind)
        if value is not None:
            self._index.pop(Identifier(kind, value).key, None)
            setattr(person, kind, None)

    def claim(self, person: Person, anonymous_id: str) -> bool:
        """Bind an anonymous_id to a person; the first who claims one keeps it."""
        return self._anonymous.setdefault(anonymous_id, person) is person

    def absorb(self, primary: Person, secondary: Person) -> None:
        """Remove a person, whose identifiers fill the gaps of another."""
        left = [Identifier(*pair) for pair in secondary.identifiers().items()]
        claimed = [name for name, owner in self._anonymous.items() if owner is secondary]
        self.remove(secondary)
        for who in left:
            if who.kind in _KINDS and getattr(primary, who.kind) is None:
                self.assign(primary, who)
        for anonymous_id in claimed:
            self.claim(primary, anonymous_id)

    def remove(self, person: Person) -> None:
        """Forget a person and free the identifiers."""
        for kind in _KINDS:
            self.withdraw(person, kind)
        self._anonymous = {k: owner for k, owner in self._anonymous.items() if owner is not person}
        del self._index["cio_id", person.cio_id], self._people[person.cio_id]

    def suppress(self, who: Identifier, person: Person | None) -> None:
        """Bar an identifier, and all the others of the person it names."""
        others = person.identifiers().items() if person else ()
        keys = frozenset({who.key, *(Identifier(*pair).key for pair in others)})
        self._suppressed.update(dict.fromkeys(keys, keys))

    def unsuppress(self, who: Identifier) -> None:
        """Free an identifier, and those that were barred together with it."""
        for key in self._suppressed.get(who.key, ()):
            self._suppressed.pop(key, None)

    def suppressed(self) -> list[Identifier]:
        """Every identifier that is barred, in order; email addresses in lower case."""
        return [Identifier(*key) for key in list(self._suppressed)]

    def is_suppressed(self, identifiers: Iterable[Identifier]) -> bool:
        """Whether any of these identifiers is barred."""
        return any(who.key in self._suppressed for who in identifiers)
