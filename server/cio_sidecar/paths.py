"""Dotted paths into an event: ``context.page.url``. PURE."""

import re
from collections.abc import Iterable

_SEGMENT = re.compile(r'"((?:[^"\\]|\\.)+)"|([^."\s]+)')
_PLAIN = re.compile(r'[^."\s]+')


def split_path(path: str) -> tuple[str, ...]:
    r"""The keys of a dotted path: ``context.page.url``. A key with a dot in it is quoted:
    ``properties."order.id"``. Raises ValueError with what is wrong.
    """
    keys: list[str] = []
    at = 0
    while True:
        match = _SEGMENT.match(path, at)
        if match is None:
            raise ValueError(
                f"{path!r} is no path: write keys joined by dots (context.page.url), "
                'a key with a dot or space in it in double quotes (properties."order.id")'
            )
        quoted, plain = match.groups()
        keys.append(plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted))
        at = match.end()
        if at == len(path):
            return tuple(keys)
        if path[at] != ".":
            raise ValueError(f"{path!r} is no path: expected a dot at character {at + 1}")
        at += 1


def join_path(keys: Iterable[str]) -> str:
    """The one spelling of a path: what split_path() would take apart, quoted where it must be."""
    return ".".join(
        key if _PLAIN.fullmatch(key) else '"' + re.sub(r'(["\\])', r"\\\1", key) + '"'
        for key in keys
    )


def parents(path: str) -> list[str]:
    """The paths above a path: ``context`` and ``context.page`` of ``context.page.url``."""
    keys = split_path(path)
    return [join_path(keys[:count]) for count in range(1, len(keys))]
