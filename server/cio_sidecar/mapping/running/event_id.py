"""Ids by which Customer.io drops repeats: ULIDs."""

import hashlib
import re
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_ULID: Final = re.compile(r"[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}")
_LATEST_MS: Final = 2**48 - 1


def stable_ulid(message_id: str, unix_seconds: int) -> str:
    """A message id that is a ULID as it is; from any other a ULID that is always the same: its time
    is ``unix_seconds``, its other 80 bits are the first of the id's SHA-256.
    """
    if _ULID.fullmatch(message_id):
        return message_id
    milliseconds = min(max(unix_seconds * 1000, 0), _LATEST_MS)
    digest = hashlib.sha256(message_id.encode(errors="surrogatepass")).digest()[:10]
    number = (milliseconds << 80) | int.from_bytes(digest)
    return "".join(_ALPHABET[(number >> shift) & 31] for shift in range(125, -1, -5))
