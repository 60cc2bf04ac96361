"""Sends requests to the Track API with aiohttp."""

import asyncio
import errno
import os
import zlib
from base64 import b64encode
from ipaddress import ip_address, ip_network
from types import TracebackType
from typing import Final, Self
from urllib.request import getproxies, proxy_bypass

import aiohttp
from aiohttp import http_exceptions
from yarl import URL

from cio_sidecar.customerio.outcome import Answer
from cio_sidecar.customerio.request import Request
from cio_sidecar.customerio.track_v1 import REGION_PATH

ANSWER_BYTES: Final = 1024 * 1024
"""How much of an answer is read, and how much of it is kept once it is decompressed."""

HEADER_BYTES: Final = 64 * 1024
"""The longest header line of an answer."""

HEADERS: Final = 1000
"""How many headers an answer may have."""


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
    ) -> None:
        """Open no connection yet. Must be called on the running event loop.

        Raises ValueError, which names the variable, if the proxy of the environment can't be used.
        ``timeout_seconds`` bounds a request from its start to the end of the answer.
        """
        self.base_url = base_url.rstrip("/")
        self._proxy = proxy_of(self.base_url)
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
            body = await response.content.read(ANSWER_BYTES)
            while not response.content.at_eof() and len(body) < ANSWER_BYTES:
                body += await response.content.read(ANSWER_BYTES - len(body))
            return Answer(
                response.status,
                _decompressed(body, response.headers.get("Content-Encoding", "")),
                response.headers.get("Retry-After"),
                _host_of(response.headers.get("Location", "")),
            )

    def _unreachable(self, error: BaseException) -> Unreachable:
        if isinstance(error, aiohttp.ClientProxyConnectionError):
            proxy = URL(self._proxy or "").with_user(None)
            why = f"its proxy {proxy} (HTTPS_PROXY, HTTP_PROXY) can't be reached"
        elif isinstance(error, aiohttp.ClientHttpProxyError):
            why = f"its proxy (HTTPS_PROXY, HTTP_PROXY) answered HTTP {error.status}"
        elif isinstance(error, aiohttp.ClientConnectorCertificateError):
            why = "its TLS certificate is not trusted"
        elif isinstance(error, aiohttp.ClientConnectorDNSError):
            why = "its name is not known to DNS"
        elif isinstance(error, aiohttp.ClientConnectorSSLError):
            why = "the TLS handshake failed"
        elif isinstance(error, aiohttp.ClientConnectorError):
            why = error.os_error.strerror or "the connection was refused"
        elif isinstance(error, asyncio.TimeoutError):
            why = "no answer within the timeout"
        elif isinstance(error, (aiohttp.ClientResponseError, aiohttp.ClientPayloadError)):
            return Unreachable(f"{self.base_url} {_fault(error)}")
        elif _was_dropped(error):
            why = "the connection was closed before the answer"
        else:
            # ValueError is what aiohttp raises for parts of an answer that it can't read.
            why = "the connection failed or its answer is not HTTP"
        return Unreachable(f"{self.base_url} can't be reached: {why}")


def proxy_of(url: str) -> str | None:
    """The proxy that HTTPS_PROXY or HTTP_PROXY names for a URL; None if NO_PROXY excepts it.

    A proxy without a scheme is taken as ``http://``, as curl does. Requests to this machine never
    use a proxy. Raises ValueError, which names the variable and never its value.
    """
    parsed = URL(url)
    host = parsed.host or ""
    here = host in {"localhost", "::1"} or host.startswith("127.")
    proxy = getproxies().get(parsed.scheme)
    if not proxy or here or _is_excepted(host, parsed.port):
        return None
    lower = f"{parsed.scheme}_proxy"
    name = lower if os.environ.get(lower) else lower.upper()
    if "://" not in proxy:
        proxy = f"http://{proxy}"
    try:
        read = URL(proxy)
        good = read.scheme in ("http", "https") and bool(read.host) and bool(read.port)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{name}: expected http://host:port or host:port of an HTTP proxy")
    return proxy


def _is_excepted(host: str, port: int | None) -> bool:
    """Whether NO_PROXY names a host: ``*``, a name, a suffix, ``host:port``, or a network."""
    if proxy_bypass(f"{host}:{port}"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    for item in getproxies().get("no", "").split(","):
        try:
            if address in ip_network(item.strip(), strict=False):
                return True
        except ValueError:
            continue
    return False


def _fault(error: aiohttp.ClientResponseError | aiohttp.ClientPayloadError) -> str:
    """What is wrong with an answer that aiohttp can't read; nothing of it is quoted."""
    cause: BaseException = error
    while cause.__cause__:
        cause = cause.__cause__
    # aiohttp wraps the fault in a class that says less; its words are all that is left.
    said = str(cause)
    if isinstance(cause, http_exceptions.LineTooLong) or "Got more than" in said:
        return f"sent an answer with a header over {HEADER_BYTES // 1024} KB"
    if "Too many headers" in said:
        return f"sent an answer with over {HEADERS:,} headers"
    if isinstance(cause, http_exceptions.TransferEncodingError) or "chunk" in said:
        return "sent an answer with a bad chunk"
    if isinstance(cause, http_exceptions.BadStatusLine):
        return "sent an answer whose first line is not HTTP"
    if isinstance(error, aiohttp.ClientPayloadError):
        return "sent an answer that ends early"
    return "sent an answer whose headers are not HTTP"


def _decompressed(body: bytes, encoding: str) -> bytes:
    """A body in plain, at most ANSWER_BYTES; as it came if it can't be decompressed."""
    if encoding.strip().lower() not in ("gzip", "x-gzip", "deflate"):
        return body
    try:
        return zlib.decompressobj(wbits=zlib.MAX_WBITS | 32).decompress(body, ANSWER_BYTES)
    except zlib.error:
        return body


def _host_of(location: str) -> str:
    """The host of a ``Location`` header, without credentials; empty if there is none."""
    try:
        return (URL(location).host or "")[:255]
    except ValueError:
        return ""


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
