"""Finds the endpoint that a request's method and path name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from cio_fake.shapes import Endpoint, load


@dataclass(frozen=True, slots=True)
class Route:
    """An endpoint with its path's variable segments."""

    endpoint: Endpoint
    segments: Mapping[str, str]
    """By name, still percent-encoded, never empty."""


def find(method: str, path: str) -> Route | frozenset[str]:
    """The route of a request, or the methods that its path does have: none if it is unknown.

    The path is split before it is decoded, so that an encoded `/` stays within its segment, and
    one that is not encoded makes an unknown path.
    """
    parts = path.split("/")
    allowed = set()
    for endpoint in load().endpoints.values():
        segments = _match(endpoint.path.split("/"), parts)
        if segments is None:
            continue
        if endpoint.method == method:
            return Route(endpoint, segments)
        allowed.add(endpoint.method)
    return frozenset(allowed)


def unquote(segment: str) -> str:
    """Decode a segment once.

    Raises:
        UnicodeDecodeError: what it encodes isn't UTF-8.
    """
    # A lone surrogate is encoded to what the decoding then rejects.
    raw = unquote_to_bytes(segment.encode("utf-8", "surrogatepass"))
    return raw.decode("utf-8")


def _match(template: list[str], parts: list[str]) -> dict[str, str] | None:
    if len(template) != len(parts):
        return None
    segments = {}
    for expected, part in zip(template, parts, strict=True):
        if expected.startswith("{"):
            if not part:
                return None
            segments[expected[1:-1]] = part
        elif expected != part:
            return None
    return segments
