"""Sends requests to the Track API with aiohttp."""

import asyncio
import errno
import os
import re
import ssl
import zlib
from base64 import b64encode
from collections.abc import Iterable
from types import TracebackType
from typing import Final, Self

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from cio_sidecar.customerio.answer_body import BODY_BYTES
from cio_sidecar.customerio.answers import Answer
from cio_sidecar.customerio.http_request import Request
from cio_sidecar.customerio.redaction import Redactor
from cio_sidecar.customerio.requests import REGION_PATH
from cio_sidecar.delivery.proxy import proxy_of

ANSWER_BYTES: Final = BODY_BYTES
"""How much of an answer is read, and how much of it is kept once it is decompressed."""

HEADER_BYTES: Final = 64 * 1024
"""The longest header line of an answer."""

HEADERS: Final = 256
"""How many headers an answer may have."""

_GZIP: Final = zlib.MAX_WBITS | 16
# Some servers send deflate without the header of zlib.
_WBITS: Final = {
    "gzip": (_GZIP,),
    "x-gzip": (_GZIP,),
    "deflate": (zlib.MAX_WBITS, -zlib.MAX_WBITS),
}
_HOST: Final = re.compile(r"[A-Za-z0-9.:_-]{1,255}")


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
        are redacted in answers, as the credentials are. Raises ProxyError if the environment names
        a proxy that can't be used.
        """
        self.base_url = base_url.rstrip("/")
        self._proxy = proxy_of(self.base_url, os.environ)
        self._redactor = Redactor([(site_id, api_key), *_credentials_in(self._proxy)], secrets)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=connections, keepalive_timeout=30),
            headers={
                "Authorization": _basic_auth(site_id, api_key),
                "Content-Type": "application/json",
                "User-Agent": user_agent,
                "Accept-Encoding": "identity",
            },
            timeout=aiohttp.ClientTimeout(
                total=timeout_seconds, sock_connect=min(10, timeout_seconds)
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            # aiohttp would decompress without a bound on what comes out.
            auto_decompress=False,
            max_line_size=HEADER_BYTES,
            max_field_size=HEADER_BYTES,
            max_headers=HEADERS,
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
            try:
                return await self._send(request)
            except (aiohttp.ClientError, OSError) as error:
                if not _was_dropped(error):
                    raise
            return await self._send(request)
        except aiohttp.ClientHttpProxyError as error:
            if error.status == 407:
                # The same as a 407 that comes without a tunnel.
                return Answer(407)
            raise self._unreachable(error) from None
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            # ValueError: what aiohttp can't read of an answer, or of a proxy's.
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
            try:
                body = await _read(response)
            except TimeoutError:
                raise Unreachable(
                    f"{self.base_url} answered HTTP {response.status}, but {_why_no_end(response)}"
                ) from None
            is_cut = len(body) >= ANSWER_BYTES
            redact = self._redactor.redact_cut if is_cut else self._redactor.redact
            return Answer(
                response.status,
                redact(body),
                response.headers.get("Retry-After"),
                self._redactor.redact_text(_host_of(response.headers.get("Location", ""))),
            )

    def _unreachable(self, error: BaseException) -> Unreachable:
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            proxy = URL(self._proxy or "").with_user(None)
            why = f"its proxy {proxy} (HTTPS_PROXY, HTTP_PROXY) can't be reached"
        elif isinstance(error, aiohttp.ClientHttpProxyError):
            proxy = URL(self._proxy or "").with_user(None)
            why = (
                f"its proxy {proxy} answered HTTP {error.status}: check HTTPS_PROXY, NO_PROXY, and "
                "whether the proxy allows this host"
            )
        elif isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = "its TLS certificate is not trusted"
        elif isinstance(error, aiohttp.ClientConnectorDNSError):
            why = "its name is not known to DNS"
        elif isinstance(error, aiohttp.ClientConnectorSSLError):
            why = f"the TLS handshake failed{_of_tls(error.os_error)}"
        elif isinstance(error, aiohttp.ClientConnectorError):
            why = error.os_error.strerror or "the connection was rejected"
        elif isinstance(error, asyncio.TimeoutError):
            why = "no answer within the timeout (CIO_TIMEOUT_SECONDS)"
        elif isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)):
            return Unreachable(f"{self.base_url} gave no usable answer: {_fault(error)}")
        elif _was_dropped(error):
            why = "the connection was closed before the answer"
        elif isinstance(error, ssl.SSLError):
            why = f"the TLS connection failed{_of_tls(error)}"
        elif isinstance(error, OSError) and error.errno:
            why = f"the connection failed: {os.strerror(error.errno)}"
        else:
            why = f"the connection failed: {type(error).__name__}"
        why = self._redactor.redact_text(why)
        return Unreachable(f"{self.base_url} can't be reached: {why}")


def _why_no_end(response: aiohttp.ClientResponse) -> str:
    # aiohttp does not wake who reads a body when it can't parse the rest of it.
    protocol = response.connection and response.connection.protocol
    fault = protocol and protocol.exception()
    if fault:
        return _fault(fault)
    return "the answer did not end within the timeout (CIO_TIMEOUT_SECONDS)"


def _of_tls(error: OSError) -> str:
    """OpenSSL's name for what went wrong, such as ``WRONG_VERSION_NUMBER``."""
    reason = getattr(error, "reason", None)
    return f" ({reason})" if isinstance(reason, str) else ""


def _fault(error: BaseException) -> str:
    """What is wrong with an answer that aiohttp can't read. Nothing of the answer is quoted."""
    cause: BaseException = error
    while following := cause.__cause__ or cause.__context__:
        cause = following
    if isinstance(cause, http_exceptions.LineTooLong):
        return f"a line of the answer's headers is over {HEADER_BYTES // 1024} KB"
    if isinstance(cause, http_exceptions.BadStatusLine):
        return "what answers does not speak HTTP/1.1: check CIO_BASE_URL"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the connection was closed before the end of the answer"
    if not isinstance(cause, http_exceptions.BadHttpMessage):
        return "the answer is not valid HTTP/1.1"
    if cause.message.startswith("Too many headers"):
        return f"the answer has over {HEADERS:,} headers"
    # What the parser says comes first, and then, on lines of its own, what it quotes.
    said, quotes, _ = cause.message.partition(":\n")
    return f"the answer is not valid HTTP/1.1{f' ({said})' if quotes else ''}"


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The first ANSWER_BYTES of an answer's body, decompressed: they are all that is kept."""
    body = bytearray()
    while len(body) < ANSWER_BYTES and not response.content.at_eof():
        body += await response.content.read(ANSWER_BYTES - len(body))
    return _decompressed(bytes(body), response.headers.get("Content-Encoding", ""))


def _decompressed(body: bytes, encoding: str) -> bytes:
    """A body in plain, at most ANSWER_BYTES; as it came if it can't be decompressed.

    No compression is asked for, but a proxy may apply it all the same.
    """
    formats = _WBITS.get(encoding.strip().lower(), ())
    for wbits in formats:
        try:
            return zlib.decompressobj(wbits).decompress(body, ANSWER_BYTES)
        except zlib.error:
            continue
    return body


def _credentials_in(proxy: str | None) -> list[tuple[str, str]]:
    """The user and the password in a proxy's URL: it may echo them, too."""
    try:
        url = URL(proxy or "")
    except ValueError:
        return []
    return [(url.user or "", url.password)] if url.password else []


def _host_of(location: str) -> str:
    """The host of a ``Location`` header, which may hold credentials; empty if there is none."""
    try:
        host = URL(location).raw_host or ""
    except ValueError:
        return ""
    return host if _HOST.fullmatch(host) else ""


def _was_dropped(error: BaseException) -> bool:
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
