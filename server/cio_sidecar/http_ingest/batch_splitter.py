"""Finds the events of a large batch in its bytes, without parsing them. PURE.

A JSON parser makes objects of everything before anything can be counted: 4 MB of ``[],[],…`` take
150 MB of memory and the event loop for most of a second. Here each element is one match of a
regular expression that only ever moves forward, so the time is linear and nothing is kept but
positions.
"""

import re
from collections.abc import Generator
from typing import Final, NamedTuple, TypeVar

from cio_sidecar.http_ingest.errors import RequestError

_T = TypeVar("_T")
Steps = Generator[None, None, _T]
"""Work that yields at least every few milliseconds, or after one element of the largest size."""

_LEVELS: Final = 8
"""How deep an element may nest to be one match. Deeper ones are walked bracket by bracket."""
_MOST_BRACKETS: Final = 500_000
"""Maximum number of brackets walked in one body: half a second."""
_YIELD_EVERY: Final = 256
_LONG_BYTES: Final = 64 * 1024

_STRING: Final = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
_INNER: Final = rb'[^"\[\]{}]++|' + _STRING
_OUTER: Final = rb'[^"\[\]{},]++|' + _STRING


def _container() -> bytes:
    """A list or an object that nests at most _LEVELS deep. Kinds of brackets need not match: that
    is left to the parser.
    """
    inner = _INNER
    for _ in range(_LEVELS - 1):
        inner = rb"[\[{](?:" + inner + rb")*+[\]}]|" + _INNER
    return rb"[\[{](?:" + inner + rb")*+[\]}]"


_ELEMENT: Final = re.compile(rb"(?:" + _container() + rb"|" + _OUTER + rb")*+", re.DOTALL)
# At most 500 pieces a step, so that a step stays short.
_OUTER_STEP: Final = re.compile(rb"(?:" + _OUTER + rb"){1,500}+|[\[{]", re.DOTALL)
_INNER_STEP: Final = re.compile(rb"(?:" + _INNER + rb"){1,500}+|[\[\]{}]", re.DOTALL)
_BLANK: Final = rb"[ \t\n\r]*+"
_KEY: Final = re.compile(_BLANK + rb"(" + _STRING + rb")" + _BLANK + rb":" + _BLANK, re.DOTALL)
_SPACE: Final = re.compile(_BLANK)


class Extent(NamedTuple):
    """Where an element is in the bytes."""

    start: int
    end: int


class Split(NamedTuple):
    """A body in two parts."""

    rest: bytes
    """The object without ``batch``."""
    batch: list[Extent] | None
    """The elements of ``batch``; None if there is no such list."""


def split(data: bytes, *, most_events: int, most_bytes: int) -> Steps[Split]:
    """Splits a body into its events and the rest.

    Brackets and quotes are matched; everything else is left to a parser. Of two keys ``batch`` the
    last counts, as for the parser.

    Args:
        most_events: More are an error.
        most_bytes: Size up to which an element is one match; larger ones take longer.

    Raises RequestError.
    """
    walk = _Walk(data, most_bytes)
    rest: list[bytes] = []
    batch: list[Extent] | None = None
    position = _SPACE.match(data).end()  # type: ignore[union-attr]  # matches nothing, too
    if data[position : position + 1] != b"{":
        raise _invalid(position)
    more = True
    while more:
        position += 1
        key = _KEY.match(data, position)
        if key is None:
            raise _invalid(position)
        if key[1] == b'"batch"' and data[key.end() : key.end() + 1] == b"[":
            batch = yield from _elements(walk, key.end() + 1, most_events)
            position = _SPACE.match(data, walk.position).end()  # type: ignore[union-attr]
        else:
            position = yield from walk.element(key.end())
            rest.append(data[key.start() : position])
            yield
        if data[position : position + 1] not in (b",", b"}"):
            raise _invalid(position)
        more = data[position : position + 1] == b","
    if _SPACE.match(data, position + 1).end() != len(data):  # type: ignore[union-attr]
        raise _invalid(position + 1)
    return Split(b"{" + b",".join(rest) + b"}", batch)


def too_many_events(limit: int) -> RequestError:
    """The error of a batch with more events than one call may have."""
    what = f"batch: more than {limit:,} events (CIO_CALL_MAX_EVENTS): send them in several batches"
    return RequestError(413, "TOO_MANY_EVENTS", what)


def _elements(walk: "_Walk", start: int, most_events: int) -> Steps[list[Extent]]:
    """The elements of the list that begins before ``start``; ``walk.position`` is after it."""
    data = walk.data
    extents: list[Extent] = []
    end = _SPACE.match(data, start).end()  # type: ignore[union-attr]
    if data[end : end + 1] == b"]":
        walk.position = end + 1
        return extents
    while True:
        end = yield from walk.element(start)
        if len(extents) == most_events:
            raise too_many_events(most_events)
        extents.append(Extent(start, end))
        ends = data[end : end + 1]
        if ends == b"]":
            walk.position = end + 1
            return extents
        if ends != b",":
            raise _invalid(end)
        if len(extents) % _YIELD_EVERY == 0 or end - start > _LONG_BYTES:
            yield
        start = end + 1


class _Walk:
    """Finds where elements end, and counts what that takes."""

    def __init__(self, data: bytes, most_bytes: int) -> None:
        self.data = data
        self.position = 0
        self._most_bytes = most_bytes
        self._brackets_left = _MOST_BRACKETS

    def element(self, start: int) -> Steps[int]:
        """The position of the ``,``, ``]`` or ``}`` that ends the element at ``start``."""
        data = self.data
        match = _ELEMENT.match(data, start, start + self._most_bytes)
        end = match.end() if match else start
        if data[end : end + 1] in (b",", b"]", b"}"):
            return end
        return (yield from self._bracket_by_bracket(end))

    def _bracket_by_bracket(self, end: int) -> Steps[int]:
        data = self.data
        depth = 0
        while True:
            if depth == 0 and data[end : end + 1] in (b",", b"]", b"}"):
                return end
            step = (_INNER_STEP if depth else _OUTER_STEP).match(data, end)
            if step is None:
                raise _invalid(end)
            first = data[end]
            if first in b"[{":
                depth += 1
            elif first in b"]}":
                depth -= 1
            end = step.end()
            self._brackets_left -= 1
            if self._brackets_left == 0:
                what = "the body is too large for how deep it nests: send the events in several"
                raise RequestError(413, "TOO_LARGE", f"{what} batches")
            if self._brackets_left % _YIELD_EVERY == 0:
                yield


def _invalid(position: int) -> RequestError:
    return RequestError(400, "INVALID_JSON", f"the body is not valid JSON (at byte {position})")
