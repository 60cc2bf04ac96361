"""Redacts the configured credentials in what another server sends. PURE.

A server may echo the ``Authorization`` header of a request in its answer. The answer is stored and
shown, so it loses the credentials first.
"""

import json
import re
from base64 import b64encode
from collections.abc import Iterable
from typing import Final
from urllib.parse import quote

REDACTED: Final = "[redacted]"
"""Replaces a secret. It does not start as a web page does, and JSON stays JSON."""
SECRET_CHARACTERS: Final = 6
"""Shorter secrets are not looked for: ordinary words would match."""

_PREFIX: Final = 12
"""How much of a secret counts as the secret: the text may be cut. The rest of the token goes, too.
"""
_REST: Final = rb"[\w+/=\-.~%]*"
# For a URL, JSON and HTML, in lower case.
_ESCAPES: Final = re.compile(
    rb"(?:[%=]|\\x|\\u00|\\u\{0{0,4}|&#x0{0,6})([0-9a-f]{2})\}?|&#0{0,6}([0-9]{1,3})(?![0-9])"
)
_BREAKS: Final = re.compile(rb"\\[nrt]")
"""Line breaks and tabs in JSON, such as those of base64 in lines."""
_MARKS: Final = b"\\; \t\r\n\0"
"""Left over from escapes, so they are ignored in texts and secrets."""
_MOST_ESCAPES: Final = 20_000
"""How many escapes of an answer are undone."""
_FEWEST_CHARACTERS: Final = 4
"""Minimum length of the start of a secret without them."""
_ESCAPED_BYTES: Final = 9
"""Maximum number of bytes that one byte of a secret takes, in base64 or escaped."""


class Redactor:
    """Replaces credentials in bytes and texts, raw or in base64.

    If a secret is escaped in another way (``\\u006b``, ``%6B``), everything is replaced.
    """

    def __init__(self, pairs: Iterable[tuple[str, str]], secrets: Iterable[str] = ()) -> None:
        """Build the pattern once.

        Args:
            pairs: User and password of HTTP basic authentication. The password alone is a secret,
                too; the user is not.
            secrets: Other secrets.
        """
        pairs = [*pairs]
        alone = [*secrets, *(password for _, password in pairs)]
        raw = [secret.encode() for secret in alone if len(secret) >= SECRET_CHARACTERS]
        whole = [*raw, *(f"{user}:{password}".encode() for user, password in pairs)]
        # A dump of the request in base64 holds the Authorization header in base64.
        whole += [b64encode(secret) for secret in whole]
        forms = {*raw, *(core for secret in whole for core in _cores(secret))}
        spelled = {spelling for form in forms for spelling in _spellings(form)}
        patterns = [_pattern(spelling) for spelling in sorted(spelled, key=len, reverse=True)]
        self._pattern = re.compile(b"|".join(patterns)) if patterns else None
        starts = {form[:_PREFIX].lower().translate(None, _MARKS) for form in forms}
        self._starts = {start for start in starts if len(start) >= _FEWEST_CHARACTERS}
        self._starts |= {start.hex().encode() for start in self._starts}
        self.longest = _ESCAPED_BYTES * max(map(len, whole), default=0)
        """Bytes that a secret may take. A cut may leave the beginning of one."""

    def redact(self, data: bytes) -> bytes:
        """Return the bytes without secrets. The time is linear in their length."""
        if self._pattern is None:
            return data
        data = self._pattern.sub(REDACTED.encode(), data)
        return REDACTED.encode() if self._is_hidden_in(data) else data

    def redact_cut(self, data: bytes) -> bytes:
        """Return bytes that were cut, without secrets and without what may be the start of one."""
        redacted = self.redact(data)
        return redacted[: max(0, len(redacted) - self.longest)]

    def redact_text(self, text: str) -> str:
        """Return the text without secrets."""
        return self.redact(text.encode(errors="replace")).decode(errors="replace")

    def _is_hidden_in(self, data: bytes) -> bool:
        """Whether a secret remains, in another case or escaped for a URL, JSON or HTML."""
        plain = data.lower()
        if any(mark in plain for mark in (b"%", b"=", b"\\", b"&#")):
            if sum(map(plain.count, (b"%", b"=", b"\\", b"&#"))) > _MOST_ESCAPES:
                # To undo them takes long. No answer of Customer.io has so many.
                return True
            plain = _BREAKS.sub(b"", plain)
            # A URL may be escaped more than once.
            for _ in range(3):
                plain = plain.replace(b"%25", b"%")
            plain = _ESCAPES.sub(_unescaped, plain)
        plain = plain.translate(None, _MARKS)
        return any(start in plain for start in self._starts)


def _unescaped(escape: re.Match[bytes]) -> bytes:
    in_hex, decimal = escape.groups()
    code = int(in_hex, 16) if in_hex else int(decimal)
    return bytes([code]).lower() if code < 256 else escape[0]


def _cores(secret: bytes) -> list[bytes]:
    """What base64 makes of a secret within other bytes, at each of the three alignments, without
    the characters that depend on its neighbours."""
    cores = []
    for before, start in ((0, 0), (1, 2), (2, 3)):
        encoded = b64encode(bytes(before) + secret)
        core = encoded[start : (before + len(secret)) * 8 // 6]
        if len(core) >= SECRET_CHARACTERS:
            cores += [core, core.translate(_URL_SAFE)]
    return cores


_URL_SAFE: Final = bytes.maketrans(b"+/", b"-_")


def _spellings(form: bytes) -> set[bytes]:
    """The usual ways to write a secret in URLs and JSON."""
    text = form.decode()
    return {
        form,
        quote(text, safe="").encode(),
        json.dumps(text)[1:-1].encode(),
        form.replace(b"/", rb"\/"),
    }


def _pattern(spelling: bytes) -> bytes:
    """A pattern for a secret as it is, or for its beginning with the rest of a token."""
    start, rest = spelling[:_PREFIX], spelling[_PREFIX:]
    return re.escape(start) + b"(?:" + re.escape(rest) + b")?" + _REST
