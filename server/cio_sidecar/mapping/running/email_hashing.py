"""Replaces email addresses by their hashes, wherever they stand."""

import hashlib
import re
from typing import Any, Final, TypeVar

from cio_sidecar.mapping.running.transforms import EMAIL

T = TypeVar("T")

_LONGEST: Final = 320
"""Characters of an address: 64 before the @, and 255 after it."""
_LOCAL: Final = 64
_LOCAL_CHARACTERS: Final = r"\w.+\-!#$^~|"
# The @ within a URL, JSON text or HTML is often encoded.
_ANY_AT: Final = r"(?:@|%(?:25){0,4}40|\\\\?u0040|&#(?:64|x40);|\uff20)"
_AT: Final = re.compile(_ANY_AT, re.IGNORECASE)
_DOMAIN: Final = re.compile(r"\w[\w\-]{0,63}(?:[.\u3002][\w\-]{1,63}){1,16}|\[[\w.:]{1,64}\]")
# Only an @ that may be within an address: most of the work is done where few are.
_AT_WITHIN: Final = re.compile(
    rf"(?<=[{_LOCAL_CHARACTERS}\")]){_ANY_AT}(?=\w[\w\-]{{0,63}}[.\u3002][\w\-]|\[[\w.:]{{1,64}}\])",
    re.IGNORECASE,
)
_LOCAL_END: Final = re.compile(f"[{_LOCAL_CHARACTERS}]*")
_CLOSES: Final = {'"': '"', ")": "("}
# An address that is all of a text may have nearly any character; within a text it ends where a
# URL or a sentence has its marks.
_WHOLE: Final = re.compile(
    r"[^@\s:/?&][^@\s:?&]{0,150}@(?:(?=[\w\-]{0,255}\.)[\w\-.]{1,511}(?<=\w)|\[[\w.:]{1,64}\])"
)


def hash_emails(value: T) -> T:
    """A JSON value with each email address in its keys and texts replaced by the hex SHA-256 of the
    address in lower case. The value itself is not changed.
    """
    hashed: T = _hashed(value)
    return hashed


def _hashed(value: Any) -> Any:
    if value.__class__ is str:
        return _hashed_text(value) if _AT.search(value) else value
    if value.__class__ is dict:
        return {_hashed(key): _hashed(item) for key, item in value.items()}
    if value.__class__ is list:
        return [_hashed(item) for item in value]
    return value


def _hashed_text(text: str) -> str:
    trimmed = text.strip()
    may_be_whole = len(trimmed) <= 2 * _LONGEST
    if may_be_whole and _WHOLE.fullmatch(trimmed):
        return _hash(trimmed)
    replaced = _hashed_within(text)
    # Whatever would still identify somebody by email is hashed as it is.
    return _hash(trimmed) if may_be_whole and EMAIL.fullmatch(replaced.strip()) else replaced


def _hashed_within(text: str) -> str:
    """Replace the addresses within a text; the work is linear in its length."""
    parts: list[str] = []
    done = 0
    for at in _AT_WITHIN.finditer(text):
        if at.start() < done:
            continue
        start = _local_start(text, at.start(), done)
        domain = _DOMAIN.match(text, at.end()) if start < at.start() else None
        if domain is None:
            continue
        address = f"{text[start : at.start()]}@{domain[0]}"
        parts += (text[done:start], _hash(address))
        done = domain.end()
    parts.append(text[done:])
    return "".join(parts)


def _local_start(text: str, end: int, first: int) -> int:
    """Where the part of an address before its @ begins; ``end`` where there is none."""
    first = max(first, end - _LOCAL)
    if end > first and (opening := _CLOSES.get(text[end - 1])):
        quoted = text.rfind(opening, first, end - 1)
        return quoted if quoted >= 0 else end
    # Backwards, as it ends at the @.
    local = _LOCAL_END.match(text[first:end][::-1])
    return end - len(local[0]) if local else end


def _hash(address: str) -> str:
    # Half a surrogate pair is no character, and the event that holds it is rejected by its field.
    return hashlib.sha256(address.lower().encode(errors="surrogatepass")).hexdigest()
