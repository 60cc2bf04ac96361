"""TLS of gRPC and of HTTP ingest: certificates from files, read again when they change."""

import logging
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc

from cio_sidecar.app.bounded_files import read_bytes

log = logging.getLogger(__name__)

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files.

    Before each handshake they are looked at: a renewed certificate needs no restart. While they
    can't be used, the last good ones stay.
    """

    certificate: Path
    """The server's certificate, with those between it and the authority."""
    key: Path
    client_ca: Path | None = None
    """The authority of the callers' certificates: with it each must show one."""

    def problems(self) -> list[str]:
        """What is wrong with the files, by setting."""
        problems: list[str] = []
        for setting, file, what in (
            ("CIO_TLS_CERT_FILE", self.certificate, "certificate"),
            ("CIO_TLS_KEY_FILE", self.key, "private key"),
            ("CIO_TLS_CLIENT_CA_FILE", self.client_ca, "certificate"),
        ):
            try:
                if file is not None:
                    _expect(file, what)
            except OSError as error:
                problems.append(f"{setting}: can't read {file}: {error.strerror}")
            except ValueError as error:
                problems.append(f"{setting}: {error}")
        if not problems:
            try:
                self._for_http()
            except (OSError, ValueError) as error:
                problems.append(f"CIO_TLS_…_FILE: {error}")
        return problems

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC. Raises OSError or ValueError where a file can't be used."""
        first, renewed = self._watched(self._for_grpc)
        return grpc.dynamic_ssl_server_credentials(
            first,
            renewed,  # type: ignore[arg-type] # None, which says that nothing has changed
            require_client_authentication=self.client_ca is not None,
        )

    def context(self) -> ssl.SSLContext:
        """For HTTP. Raises OSError or ValueError where a file can't be used."""
        first, renewed = self._watched(self._for_http)
        latest = first

        def hello(connection: ssl.SSLObject, *_: object) -> None:
            nonlocal latest
            latest = renewed() or latest
            connection.context = latest

        # Called at each handshake, whether the caller names a server or not.
        first.sni_callback = hello
        return first

    def _watched(self, read: Callable[[], _Read]) -> tuple[_Read, Callable[[], _Read | None]]:
        """What is read now, and a function that reads it again where the files have changed."""
        stamp = self._stamp()

        def renewed() -> _Read | None:
            nonlocal stamp
            try:
                now = self._stamp()
                if now == stamp:
                    return None
                stamp = now
                again = read()
            except (OSError, ValueError) as error:
                log.error("the changed certificate can't be used, the last one stays: %s", error)
                return None
            log.info("the certificate was renewed")
            return again

        return read(), renewed

    def _stamp(self) -> tuple[int, ...]:
        files = filter(None, (self.certificate, self.key, self.client_ca))
        return tuple(file.stat().st_mtime_ns for file in files)

    def _for_grpc(self) -> grpc.ServerCertificateConfiguration:
        # gRPC would find out at the first handshake what can't be used, and tell nobody.
        self._for_http()
        client_ca = read_bytes(self.client_ca) if self.client_ca else None
        pair = (read_bytes(self.key), read_bytes(self.certificate))
        return grpc.ssl_server_certificate_configuration([pair], client_ca)

    def _for_http(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        _expect(self.certificate, "certificate")
        _expect(self.key, "private key")
        try:
            context.load_cert_chain(self.certificate, self.key)
        except ssl.SSLError as error:
            what = f"{self.certificate}, {self.key}: can't be used together"
            raise ValueError(f"{what}: {_reason(error)}") from None
        if self.client_ca:
            _expect(self.client_ca, "certificate")
            try:
                context.load_verify_locations(self.client_ca)
            except ssl.SSLError as error:
                raise ValueError(f"{self.client_ca}: can't be used: {_reason(error)}") from None
            context.verify_mode = ssl.CERT_REQUIRED
        return context


def _expect(file: Path, what: str) -> None:
    content = read_bytes(file)
    if b"-----BEGIN " not in content or f"{what.upper()}-----".encode() not in content:
        raise ValueError(f"{file}: expected a PEM file with a {what}")


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "unknown").lower().replace("_", " ")
