"""TLS towards a target."""

from pathlib import Path

import grpc

from cio_conformance.run.caller import TargetError


def channel_credentials(
    ca: Path, certificate: Path | None = None, key: Path | None = None
) -> grpc.ChannelCredentials:
    """Trust the certificates of ``ca``; show one's own, where the target asks for it.

    All are PEM files. Raises TargetError where one can't be read.
    """
    return grpc.ssl_channel_credentials(
        _read(ca),
        _read(key) if key else None,
        _read(certificate) if certificate else None,
    )


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise TargetError(f"{file}: can't be read: {error.strerror}") from None
