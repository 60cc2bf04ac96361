"""Who may send: the write key of a request, against those that are accepted."""

import base64
import binascii
import hmac
from collections.abc import Iterable, Sequence
from typing import Any

from cio_sidecar.http_ingest.errors import RequestError


class WriteKeys:
    """The accepted write keys; with none, every request is taken."""

    def __init__(self, keys: Iterable[str]) -> None:
        self._keys = [key.encode() for key in keys]

    def allow_headers(self, authorization: Sequence[str]) -> bool:
        """Whether the Authorization headers settle it; False leaves it to the body.

        Raises RequestError for a header that shows no accepted key.
        """
        if not self._keys:
            return True
        if not any(authorization):
            return False
        if len(authorization) > 1:
            raise _unauthorized(f"expected one header Authorization, got {len(authorization)}")
        scheme, _, credentials = authorization[0].partition(" ")
        if scheme.lower() != "basic":
            raise _unauthorized("expected Authorization: Basic, with the write key as user name")
        try:
            user = base64.b64decode(credentials.strip(), validate=True).partition(b":")[0]
        except (binascii.Error, ValueError):
            raise _unauthorized("the credentials of Authorization are not base64") from None
        self._require(user)
        return True

    def allow_body(self, body: dict[str, Any]) -> None:
        """Raises RequestError where the body's ``writeKey`` is none that is accepted."""
        key = body.get("writeKey")
        if not isinstance(key, str):
            raise _unauthorized("no write key: give it as the user name of Basic authorization")
        self._require(key.encode(errors="replace"))

    def _require(self, given: bytes) -> None:
        # All are compared, so that the time tells nothing.
        if not any([hmac.compare_digest(given, key) for key in self._keys]):  # noqa: C419
            raise _unauthorized("the write key is none of those in CIO_HTTP_INGEST_WRITE_KEY")


def _unauthorized(what: str) -> RequestError:
    headers = {"WWW-Authenticate": 'Basic realm="cio-sidecar"'}
    return RequestError(401, "UNAUTHORIZED", what, headers=headers)
