"""TLS of the gRPC server: certificates from files, which are read again when they change."""

import logging
import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files."""

    certificate: Path
    """The server's certificate, with those between it and the authority."""
    key: Path
    client_ca: Path | None = None
    """The authority of the callers' certificates: with it each must show one."""

    def credentials(self) -> grpc.ServerCredentials:
        """The server's credentials. Raises OSError or ValueError where a file can't be used.

        Before each handshake the files are looked at: a renewed certificate needs no restart. While
        they can't be used, the last good ones stay.
        """
        read = self._read()
        stamp = self._stamp()

        def fetch() -> grpc.ServerCertificateConfiguration | None:
            nonlocal stamp
            try:
                now = self._stamp()
                if now == stamp:
                    return None
                stamp = now
                renewed = self._read()
            except (OSError, ValueError) as error:
                log.error("the changed certificate can't be used, the last one stays: %s", error)
                return None
            log.info("the certificate was renewed")
            return renewed

        return grpc.dynamic_ssl_server_credentials(
            read,
            fetch,  # type: ignore[arg-type] # None, which says that nothing has changed
            require_client_authentication=self.client_ca is not None,
        )

    def _stamp(self) -> tuple[int, ...]:
        files = filter(None, (self.certificate, self.key, self.client_ca))
        return tuple(file.stat().st_mtime_ns for file in files)

    def _read(self) -> grpc.ServerCertificateConfiguration:
        certificate = _pem(self.certificate, b"CERTIFICATE")
        key = _pem(self.key, b"PRIVATE KEY")
        client_ca = _pem(self.client_ca, b"CERTIFICATE") if self.client_ca else None
        # gRPC would find out at the first handshake, and tell nobody.
        _check_pair(self.certificate, self.key)
        return grpc.ssl_server_certificate_configuration([(key, certificate)], client_ca)


def _pem(file: Path, what: bytes) -> bytes:
    content = file.read_bytes()
    if b"-----BEGIN " not in content or what + b"-----" not in content:
        raise ValueError(f"{file}: expected a PEM file with a {what.decode().lower()}")
    return content


def _check_pair(certificate: Path, key: Path) -> None:
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key)
    except ssl.SSLError as error:
        reason = (error.reason or "unknown").lower().replace("_", " ")
        raise ValueError(f"{certificate}, {key}: can't be used together: {reason}") from None
