"""A channel to a running sidecar, for the commands."""

import grpc

from cio_sidecar.app.command import Target

_OPTIONS = [("grpc.max_receive_message_length", -1)]


def open_channel(target: Target) -> grpc.Channel:
    """A channel, by TLS where the target says so. Raises OSError where a file can't be read."""
    if target.tls_ca is None:
        return grpc.insecure_channel(target.address, options=_OPTIONS)
    credentials = grpc.ssl_channel_credentials(
        target.tls_ca.read_bytes(),
        target.tls_key.read_bytes() if target.tls_key else None,
        target.tls_cert.read_bytes() if target.tls_cert else None,
    )
    return grpc.secure_channel(target.address, credentials, options=_OPTIONS)
