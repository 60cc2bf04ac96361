"""Objects (companies, courses, …) and the relationships of people to them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cio_fake.records import Object

Related = tuple[str, str]
"""("cio_id" or "anonymous_id", its value)."""


def merge_attributes(held: dict[str, Any], given: Mapping[str, Any]) -> None:
    """Set an object's or a relationship's attributes: null and the empty string remove one."""
    for name, value in given.items():
        if value in (None, ""):
            held.pop(name, None)
        else:
            held[name] = value


class Objects:
    """Objects by (object_type_id, object_id), and by cio_object_id."""

    def __init__(self) -> None:
        self._objects: dict[tuple[str, str], Object] = {}
        self._assigned = 0

    def __len__(self) -> int:
        return len(self._objects)

    def all(self) -> list[Object]:
        """Every object, in the order in which they were added."""
        return list(self._objects.values())

    def find(self, identifiers: Mapping[str, str]) -> Object | None:
        """The object that checked identifiers name."""
        if (cio_id := identifiers.get("cio_object_id")) is not None:
            return next((o for o in self._objects.values() if o.cio_object_id == cio_id), None)
        return self._objects.get((identifiers["object_type_id"], identifiers["object_id"]))

    def find_or_create(self, identifiers: Mapping[str, str]) -> Object | None:
        """The object that identifiers name, added if need be; None for an unknown cio_object_id."""
        found = self.find(identifiers)
        if found is not None or "cio_object_id" in identifiers:
            return found
        self._assigned += 1
        key = identifiers["object_type_id"], identifiers["object_id"]
        created = self._objects[key] = Object(*key, cio_object_id=f"ob{self._assigned:08x}")
        return created

    def remove(self, identifiers: Mapping[str, str]) -> bool:
        """Forget an object with its relationships; False when there is none."""
        found = self.find(identifiers)
        if found is None:
            return False
        del self._objects[found.object_type_id, found.object_id]
        return True

    def rename(self, old: Related, new: Related) -> None:
        """Give the relationships of one person, known or anonymous, to another."""
        for held in self._objects.values():
            if old in held.people:
                kept = held.people.pop(old)
                held.people[new] = {**kept, **held.people.get(new, {})}

    def forget(self, related: Related) -> None:
        """Remove all relationships of a person."""
        for held in self._objects.values():
            held.people.pop(related, None)
