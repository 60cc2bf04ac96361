"""Keeps web pages from sending events, unless their origin is allowed. PURE.

Any page that is open in a browser on this machine can post to a loopback address. Without a write
key nothing else would distinguish it from a service.
"""

from collections.abc import Iterable, Mapping, Sequence
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from cio_sidecar.http_ingest.errors import RequestError

_NOT_FROM_ANOTHER_PAGE: Final = ("none", "same-origin")
_HEADERS: Final = "Authorization, Content-Encoding, Content-Type"
_PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "POST",
    "Access-Control-Allow-Headers": _HEADERS,
    "Access-Control-Allow-Private-Network": "true",
    "Access-Control-Max-Age": "600",
}


class Browsers:
    """The web pages whose requests are accepted."""

    def __init__(self, origins: Iterable[str], *, loopback: bool) -> None:
        """``loopback`` says whether the address listened on is reached from this machine alone."""
        self._origins = frozenset(origins)
        self._any = "*" in self._origins
        self._hosts = frozenset(urlsplit(origin).hostname for origin in self._origins)
        self._loopback = loopback

    def require_allowed(
        self, origins: Sequence[str], fetch_sites: Sequence[str], hosts: Sequence[str]
    ) -> None:
        """Raises RequestError for a request of a web page that is not allowed.

        The arguments are the values of the headers Origin, Sec-Fetch-Site and Host.
        """
        if self._any:
            return
        if not all(map(self._is_allowed, origins)):
            raise _browser("the header Origin is that of a web page")
        if not origins and any(site not in _NOT_FROM_ANOTHER_PAGE for site in fetch_sites):
            raise _browser("the header Sec-Fetch-Site is that of a web page")
        if self._loopback and not all(map(self._is_local, hosts)):
            # A name of the page's own domain that resolves to this machine (DNS rebinding).
            raise _browser("expected localhost or a loopback address in the header Host")

    def answer_headers(self, origin: str | None) -> Mapping[str, str]:
        """What lets the page that sent an allowed request read the answer."""
        if origin is None or not self._is_allowed(origin):
            return {}
        return {"Access-Control-Allow-Origin": origin, "Vary": "Origin"}

    def preflight_headers(self, origin: str | None) -> Mapping[str, str]:
        """The answer to OPTIONS; empty if no allowed page asks."""
        return _PREFLIGHT if self.answer_headers(origin) else {}

    def _is_allowed(self, origin: str) -> bool:
        return self._any or origin.lower() in self._origins

    def _is_local(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
            if name in ("", "localhost") or name.endswith(".localhost") or name in self._hosts:
                return True
            return ip_address(name).is_loopback
        except ValueError:
            return False


def _browser(what: str) -> RequestError:
    hint = "set CIO_HTTP_INGEST_ORIGINS to accept it"
    return RequestError(403, "BROWSER_REQUEST", f"{what}: {hint}")
