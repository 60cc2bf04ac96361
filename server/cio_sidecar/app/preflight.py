"""Checks that need no start: what is wrong with settings before anything listens or is opened."""

import os
from collections.abc import Collection

from cio_sidecar.app.config import ConfigError, Settings, is_base_url
from cio_sidecar.app.tables import load_tables
from cio_sidecar.app.tls import TlsFiles
from cio_sidecar.delivery.proxy import ProxyError, proxy_of
from cio_sidecar.listen_address import port_of


def start_problems(settings: Settings, wrong: Collection[str] = ()) -> list[str]:
    """Missing credentials, malformed addresses, and TLS files and a proxy that can't be used. If
    anything is wrong, what is wrong with the tables as well: the start reads them otherwise.

    Args:
        settings: All settings.
        wrong: Settings that are known to be wrong and are not checked.
    """
    problems: list[str] = []
    try:
        settings.require_credentials(wrong)
    except ConfigError as error:
        problems.append(str(error))
    problems += [*_address_problems(settings), *tls_problems(settings, wrong)]
    is_known = not settings.base_url or is_base_url(settings.base_url)
    if is_known and not {"base_url", "region"} & {*wrong}:
        try:
            proxy_of(settings.track_url, os.environ)
        except ProxyError as error:
            problems.append(str(error))
    if (problems or wrong) and not {"overlay", "profile"} & {*wrong}:
        try:
            load_tables(settings)
        except ConfigError as error:
            problems.append(str(error))
    return problems


def tls_problems(settings: Settings, wrong: Collection[str] = ()) -> list[str]:
    """What is wrong with the TLS files."""
    certificate, key = settings.tls_cert_file, settings.tls_key_file
    client_ca = settings.tls_client_ca_file
    if (certificate is key is client_ca is None) or {"tls_cert_file", "tls_key_file"} & {*wrong}:
        return []
    if certificate is None or key is None:
        return [
            "CIO_TLS_CERT_FILE and CIO_TLS_KEY_FILE must both be set, or neither and no "
            "CIO_TLS_CLIENT_CA_FILE"
        ]
    return TlsFiles(certificate, key, client_ca).problems()


def _address_problems(settings: Settings) -> list[str]:
    problems: list[str] = []
    listen = settings.listen
    if listen == "unix:" or not (listen.startswith("unix:") or port_of(listen) is not None):
        problems.append(f"CIO_LISTEN: expected host:port or unix:PATH, got {listen!r:.60}")
    problems += [
        f"{setting}: expected host:port or off, got {address!r:.60}"
        for setting, address in (
            ("CIO_HTTP_LISTEN", settings.http_listen),
            ("CIO_HTTP_INGEST", settings.http_ingest),
        )
        if address != "off" and port_of(address) is None
    ]
    return problems
