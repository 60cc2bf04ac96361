"""Sends requests to the Track API with aiohttp."""

import asyncio
import errno
from base64 import b64encode
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from yarl import URL

from cio_sidecar.customerio.answer_body import BODY_BYTES
from cio_sidecar.customerio.outcome import Answer
from cio_sidecar.customerio.redact import Redactor
from cio_sidecar.customerio.request import Request
from cio_sidecar.customerio.track_v1 import REGION_PATH

ANSWER_BYTES: Final = BODY_BYTES
"""How much of an answer is read."""


class Unreachable(Exception):  # noqa: N818 (named for the condition)
    """No answer came. ``str()`` says why; it names the host, never a path or credentials."""


class Sender:
    """A pool of kept-alive connections to one Customer.io workspace."""

    def __init__(
        self,
        base_url: str,
        site_id: str,
        api_key: str,
        *,
        connections: int,
        timeout_seconds: float,
        user_agent: str,
        secrets: Iterable[str] = (),
    ) -> None:
        """Open no connection yet. Must be called on the running event loop.

        ``timeout_seconds`` bounds a request from its start to the end of the answer. ``secrets``
        are redacted in answers, as the credentials are.
        """
        self.base_url = base_url.rstrip("/")
        self._proxy = proxy_of(self.base_url)
        self._redactor = Redactor([(site_id, api_key), *_credentials_in(self._proxy)], secrets)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30),
            headers={
                "Authorization": _basic_auth(site_id, api_key),
                "Content-Type": "application/json",
                "User-Agent": user_agent,
            },
            timeout=aiohttp.ClientTimeout(
                total=timeout_seconds, sock_connect=min(10, timeout_seconds)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._session.close()

    async def send(self, request: Request) -> Answer:
        """Send a request and read its answer. Raises Unreachable.

        A connection that the server closed while it lay idle is normal: the request is sent once
        more at once, on a new one.
        """
        try:
            return await self._send(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            if not _was_dropped(error):
                raise self._unreachable(error) from None
        try:
            return await self._send(request)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._unreachable(error) from None

    async def region(self) -> Answer:
        """Ask which region the credentials belong to (``GET /api/v1/accounts/region``)."""
        return await self.send(Request("GET", REGION_PATH, b""))

    async def _send(self, request: Request) -> Answer:
        url = URL(self.base_url + request.path, encoded=True)
        async with self._session.request(
            request.method,
            url,
            data=request.body or None,
            allow_redirects=False,
            proxy=self._proxy,
        ) as response:
            body = bytearray()
            while len(body) < ANSWER_BYTES and not response.content.at_eof():
                body += await response.content.read(ANSWER_BYTES - len(body))
            is_cut = len(body) >= ANSWER_BYTES
            redact = self._redactor.redact_cut if is_cut else self._redactor.redact
            return Answer(response.status, redact(bytes(body)), response.headers.get("Retry-After"))

    def _unreachable(self, error: BaseException) -> Unreachable:
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            proxy = URL(self._proxy or "").with_user(None)
            why = f"its proxy {proxy} (HTTPS_PROXY, HTTP_PROXY) can't be reached"
        elif isinstance(error, aiohttp.ClientHttpProxyError):
            why = f"its proxy answered HTTP {error.status}"
        elif isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = "its TLS certificate is not trusted"
        elif isinstance(error, aiohttp.ClientConnectorDNSError):
            why = "its name is not known to DNS"
        elif isinstance(error, aiohttp.ClientConnectorError):
            why = error.os_error.strerror or "the connection was refused"
        elif isinstance(error, asyncio.TimeoutError):
            why = "no answer within the timeout"
        else:
            why = f"the connection broke ({type(error).__name__})"
        why = self._redactor.redact_text(why)
        return Unreachable(f"{self.base_url} can't be reached: {why}")


def proxy_of(url: str) -> str | None:
    """The proxy that HTTPS_PROXY or HTTP_PROXY names for a URL; None where NO_PROXY excepts it.

    What is on this machine is never asked for through a proxy.
    """
    parsed = URL(url)
    host = parsed.host or ""
    here = host in {"localhost", "::1"} or host.startswith("127.")
    return None if here or proxy_bypass(host) else getproxies().get(parsed.scheme)


def _credentials_in(proxy: str | None) -> list[tuple[str, str]]:
    """The user and the password in a proxy's URL: it may echo them, too."""
    try:
        url = URL(proxy or "")
    except ValueError:
        return []
    return [(url.user or "", url.password)] if url.password else []


def _was_dropped(error: Exception) -> bool:
    """Whether a connection that had been made was closed before the answer."""
    if isinstance(error, aiohttp.ClientOSError):
        # aiohttp's own class, whose errno alone tells a reset.
        made = not isinstance(error, aiohttp.ClientConnectorError)
        return made and error.errno in (errno.ECONNRESET, errno.EPIPE)
    return isinstance(
        error, (aiohttp.ServerDisconnectedError, ConnectionResetError, BrokenPipeError)
    )


def _basic_auth(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()
