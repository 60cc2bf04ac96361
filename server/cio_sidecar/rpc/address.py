"""Addresses to listen on, and why one can't be had, in words."""

import asyncio
import errno
import os
import socket
from pathlib import Path
from typing import Final

_WHY: Final = {
    errno.EADDRINUSE: "it is in use: stop what serves there, or give another one",
    errno.EADDRNOTAVAIL: "this machine has no such address: give one of its own, such as 127.0.0.1",
    errno.EACCES: "it is not permitted: give a port from 1024 on, or a folder that can be written",
    errno.ENOENT: "there is no such folder: make it, or give another one",
}

_NOT_SHARED: Final = (
    "it is in use by what doesn't share it, or by another user, with whom it can't be shared: give "
    "another one"
)


def port_of(address: str) -> int | None:
    """The port of ``host:port``; None if the address is no such thing."""
    host, _, port = address.rpartition(":")
    good = host and port.isascii() and port.isdigit() and int(port) < 65536
    return int(port) if good else None


async def require_free(listen: str, *, shared: bool = False) -> None:
    """Raises OSError, which says why and what to do, where ``host:port`` or ``unix:PATH`` can't be
    listened on; ``shared``: together with others who share it.

    gRPC would log it in its own words, and say nothing of it to who asks it to listen.
    """
    try:
        if listen.startswith("unix:"):
            _try_path(listen.removeprefix("unix:").removeprefix("//"))
        else:
            await _try_port(listen, shared=shared)
    except socket.gaierror as error:
        raise _refusal(listen, f"{error.strerror}: check the name") from None
    except OSError as error:
        if shared and error.errno == errno.EADDRINUSE:
            raise _refusal(listen, _NOT_SHARED) from None
        raise _refusal(listen, _WHY.get(error.errno or 0, error.strerror)) from None


def _refusal(listen: str, why: str | None) -> OSError:
    return OSError(f"can't listen on {listen}: {why}")


def _try_path(path: str) -> None:
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(1)
        try:
            probe.connect(path)
        except OSError:
            pass
        else:
            # gRPC would take the file over from whoever serves on it.
            raise OSError(errno.EADDRINUSE, "")
    folder = Path(path).parent
    if not folder.is_dir():
        raise OSError(errno.ENOENT, "")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OSError(errno.EACCES, "")


async def _try_port(listen: str, *, shared: bool) -> None:
    """Bind to one of the addresses of a name, which is enough for gRPC as well."""
    host, _, port = listen.rpartition(":")
    loop = asyncio.get_running_loop()
    first: OSError | None = None
    for family, kind, protocol, _, address in await loop.getaddrinfo(
        host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    ):
        try:
            with socket.socket(family, kind, protocol) as probe:
                # A port whose connections have just ended is free.
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if shared:
                    probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
                probe.bind(address)
        except OSError as error:
            first = first or error
        else:
            return
    if first is not None:
        raise first
