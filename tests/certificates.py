"""Certificates for tests of TLS, as PEM files."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path

import grpc
import trustme


class Files:
    """An authority, and a certificate of it for the server and for a caller."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.authority = trustme.CA()
        self.ca = folder / "ca.pem"
        self.cert, self.key = folder / "server.pem", folder / "server-key.pem"
        self.caller_cert, self.caller_key = folder / "caller.pem", folder / "caller-key.pem"
        self.authority.cert_pem.write_to_path(str(self.ca))
        self.issue(self.cert, self.key)
        self.issue(self.caller_cert, self.caller_key)

    def issue(self, cert: Path, key: Path) -> None:
        made = self.authority.issue_cert("127.0.0.1", "localhost")
        key.write_bytes(made.private_key_pem.bytes())
        cert.write_bytes(b"".join(pem.bytes() for pem in made.cert_chain_pems))

    @property
    def settings(self) -> dict[str, Path]:
        return {"tls_cert_file": self.cert, "tls_key_file": self.key}

    def context(self, *, shown: bool = False) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if shown:
            context.load_cert_chain(self.caller_cert, self.caller_key)
        return context

    def credentials(self, *, shown: bool = False) -> grpc.ChannelCredentials:
        pair = (self.caller_key.read_bytes(), self.caller_cert.read_bytes()) if shown else ()
        return grpc.ssl_channel_credentials(self.ca.read_bytes(), *pair)


def serial(address: str, files: Files) -> str:
    """The serial number of the certificate that is served at ``host:port``."""
    host, _, port = address.rpartition(":")
    context = files.context()
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((host, int(port)), 20) as connection,
        context.wrap_socket(connection, server_hostname=host) as wrapped,
    ):
        shown = wrapped.getpeercert()
    assert shown is not None
    return str(shown["serialNumber"])
