"""Addresses to listen on, and why one can't be had, in words."""

import asyncio
import errno
import grp
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_WHY: Final = {
    errno.EADDRINUSE: "it is in use: stop what serves there, or give another one",
    errno.EADDRNOTAVAIL: "this machine has no such address: give one of its own, such as 127.0.0.1",
    errno.EACCES: "it is not permitted: give a port from 1024 on, or a folder that can be written",
    errno.ENOENT: "there is no such folder: make it, or give another one",
}

_PATH_BYTES: Final = 107
"""The longest path of a unix socket; the kernel's limit."""
_OWNER_ALONE: Final = 0o177
"""The umask that leaves reading and writing to the owner."""

_NOT_SHARED: Final = (
    "it is in use by a process that does not share it or has another user: set another address"
)


@dataclass(frozen=True, slots=True)
class SocketAccess:
    """Who may connect to a unix socket."""

    mode: int = 0o600
    group: str = ""
    """Name or number of the group that the socket file belongs to; empty for the process's own."""

    @contextmanager
    def applied_to(self, path: str | None) -> Iterator[None]:
        """Give the socket file that is made in the block its mode and group. Before that, only its
        owner can connect. Does nothing if there is no path. Raises OSError.
        """
        if path is None:
            yield
            return
        before = os.umask(_OWNER_ALONE)
        try:
            yield
        finally:
            os.umask(before)
        if not Path(path).is_socket():
            return
        if self.group:
            os.chown(path, -1, group_id(self.group))
        Path(path).chmod(self.mode)


def group_id(group: str) -> int:
    """The number of a group, given by name or number. Raises LookupError."""
    return int(group) if group.isdecimal() else grp.getgrnam(group).gr_gid


def socket_path(listen: str) -> str | None:
    """The path of ``unix:PATH``; None if the address is not a unix socket."""
    if not listen.startswith("unix:"):
        return None
    return listen.removeprefix("unix:").removeprefix("//")


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
        if (path := socket_path(listen)) is not None:
            _try_path(path)
        else:
            await _try_port(listen, shared=shared)
    except socket.gaierror as error:
        raise _rejection(listen, f"{error.strerror}: check the name") from None
    except OSError as error:
        if shared and error.errno == errno.EADDRINUSE:
            raise _rejection(listen, _NOT_SHARED) from None
        raise _rejection(listen, _WHY.get(error.errno or 0, error.strerror)) from None


def _rejection(listen: str, why: str | None) -> OSError:
    return OSError(f"can't listen on {listen}: {why}")


def _try_path(path: str) -> None:
    if (size := len(os.fsencode(path))) > _PATH_BYTES:
        what = (
            f"the path has {size} bytes, a unix socket's at most {_PATH_BYTES}: use a shorter one"
        )
        raise OSError(errno.ENAMETOOLONG, what)
    if Path(path).exists() and not Path(path).is_socket():
        raise OSError(errno.EEXIST, "there is a file that is not a socket: move it away")
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
