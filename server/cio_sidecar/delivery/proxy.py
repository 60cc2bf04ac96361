"""Which HTTP proxy the environment names for a URL. PURE."""

import re
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from yarl import URL

_HOST: Final = re.compile(r"[^\s/?#@\\]+")
_SOCKS: Final = ("socks4", "socks4a", "socks5", "socks5h")


class ProxyError(Exception):
    """A variable names no proxy that can be used. ``str()`` names it, and never its value."""


def proxy_of(url: str, environment: Mapping[str, str]) -> str | None:
    """The proxy for a URL: that of ``HTTPS_PROXY`` or ``HTTP_PROXY``; None if there is none, or
    ``NO_PROXY`` excludes the host.

    Names in lower case take precedence. A proxy without a scheme is an ``http://`` one, as for
    curl. This machine is never reached through a proxy. Raises ProxyError.
    """
    target = URL(url)
    host = target.host or ""
    name, value = _variable(f"{target.scheme}_proxy", environment)
    if not value or is_this_machine(host):
        return None
    if _is_excluded(host, target.port, _variable("no_proxy", environment)[1]):
        return None
    proxy = value if "://" in value else f"http://{value}"
    if not _is_proxy(proxy, had_scheme=proxy is value):
        scheme = value.partition("://")[0].lower()
        got = f", got a {scheme} proxy, which is not supported" if scheme in _SOCKS else ""
        raise ProxyError(
            f"{name}: expected http://host:port, https://host:port or host:port of an HTTP proxy, "
            f"with user:password@ before the host if it wants them{got}"
        )
    return proxy


def is_this_machine(host: str) -> bool:
    """Whether a host is a name or an address of this machine's own."""
    name = host.strip("[]").rstrip(".").lower()
    address = _address(name)
    if address is None:
        return name == "localhost" or name.endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def _variable(name: str, environment: Mapping[str, str]) -> tuple[str, str]:
    """A variable's name as it is set, and its value. One in lower case that is empty counts: it
    takes back one in upper case.
    """
    used = name if name in environment else name.upper()
    return used, environment.get(used, "").strip()


def _is_proxy(proxy: str, *, had_scheme: bool) -> bool:
    try:
        url = URL(proxy)
        return bool(
            url.scheme in ("http", "https")
            and url.host
            and _HOST.fullmatch(url.host)
            and url.port
            # What is left of http:/proxy would be a proxy of the name http.
            and (had_scheme or url.path in ("", "/"))
        )
    except ValueError:
        return False


def _is_excluded(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether NO_PROXY names a host: ``*``, a name and all below it (with a leading ``.`` or ``*.``
    or without), an address or a network, each but a network with or without a port.
    """
    host = host.rstrip(".").lower()
    address = _address(host)
    for item in re.split(r"[\s,]+", no_proxy.lower()):
        if item == "*":
            return True
        # An IPv6 address has colons of its own.
        named = re.fullmatch(r"(\[[^\]]*\]|[^:]*):([0-9]+)", item)
        name, of_port = (named[1], int(named[2])) if named else (item, port)
        name = name.strip("[]").removeprefix("*").strip(".")
        if not name or of_port != port:
            continue
        if address is None:
            if host == name or host.endswith(f".{name}"):
                return True
        elif _holds(name, address):
            return True
    return False


def _holds(network: str, address: IPv4Address | IPv6Address) -> bool:
    try:
        return address in ip_network(network, strict=False)
    except ValueError:
        return False


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
