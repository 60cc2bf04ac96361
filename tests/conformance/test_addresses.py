"""`run --target` by TLS and by unix sockets, with real servers."""

from __future__ import annotations

import subprocess
from pathlib import Path

import grpc
import pytest
from click.testing import Result

from tests.conformance.support import free_address, invoke, need
from tests.conformance.toy import CASES, Toy, serving


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a certificate and key each of a server and of a client, both self-signed."""
    need("openssl")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("server", "client"):
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"),
                *("-subj", f"/CN={name}", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
                *("-keyout", f"{name}.key", "-out", f"{name}.pem"),
            ],
            cwd=folder,
            check=True,
            capture_output=True,
        )
    return folder


def server_credentials(keys: Path, *, asks: bool = False) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [((keys / "server.key").read_bytes(), (keys / "server.pem").read_bytes())],
        (keys / "client.pem").read_bytes() if asks else None,
        require_client_auth=asks,
    )


def run(
    tmp_path: Path,
    *arguments: str,
    address: str = "127.0.0.1:0",
    credentials: grpc.ServerCredentials | None = None,
) -> Result:
    (tmp_path / "cases").mkdir()
    (tmp_path / "cases" / "toy.yaml").write_text(CASES)
    listen = free_address()
    with serving(Toy(f"http://{listen}"), address, credentials) as target:
        to = ("--target", target, "--fake-listen", listen, "--fixtures", str(tmp_path / "cases"))
        return invoke(*to, "--api", "v1", "--patience", "1", *arguments)


def test_a_target_on_a_unix_socket_is_tested(tmp_path: Path) -> None:
    result = run(tmp_path, address=f"unix:{tmp_path / 'toy.sock'}")
    assert result.exit_code == 0, result.output


def test_a_target_by_tls_is_tested(tmp_path: Path, keys: Path) -> None:
    ca = ("--tls-ca", str(keys / "server.pem"))
    result = run(tmp_path, *ca, credentials=server_credentials(keys))
    assert result.exit_code == 0, result.output
    assert result.output.splitlines()[-1] == "3 passed, 0 failed, 0 skipped"


def test_a_target_by_tls_on_a_unix_socket_is_tested(tmp_path: Path, keys: Path) -> None:
    result = run(
        tmp_path,
        *("--tls-ca", str(keys / "server.pem")),
        address=f"unix:{tmp_path / 'toy.sock'}",
        credentials=server_credentials(keys),
    )
    assert result.exit_code == 0, result.output


def test_a_target_that_asks_for_a_certificate_is_shown_one(tmp_path: Path, keys: Path) -> None:
    own = ("--tls-cert", str(keys / "client.pem"), "--tls-key", str(keys / "client.key"))
    ca = ("--tls-ca", str(keys / "server.pem"))
    result = run(tmp_path, *ca, *own, credentials=server_credentials(keys, asks=True))
    assert result.exit_code == 0, result.output


def test_a_target_that_asks_for_a_certificate_is_not_reached_without_one(
    tmp_path: Path, keys: Path
) -> None:
    ca = ("--tls-ca", str(keys / "server.pem"))
    result = run(tmp_path, *ca, credentials=server_credentials(keys, asks=True))
    assert result.exit_code == 2
    assert "expected a sidecar that serves within 1 s, got UNAVAILABLE" in result.output


def test_a_certificate_that_is_not_trusted_is_told_of(tmp_path: Path, keys: Path) -> None:
    ca = ("--tls-ca", str(keys / "client.pem"))
    result = run(tmp_path, *ca, credentials=server_credentials(keys))
    assert result.exit_code == 2
    assert "certificate" in result.output.lower().replace(str(keys), "")


def test_a_target_by_tls_is_not_reached_in_plain_text(tmp_path: Path, keys: Path) -> None:
    result = run(tmp_path, credentials=server_credentials(keys))
    assert result.exit_code == 2
    assert "expected a sidecar that serves" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tls-ca", "/nowhere.pem"], "/nowhere.pem: can't be read: No such file"),
        (["--tls-ca", "ca.pem", "--tls-cert", "x"], "--tls-cert and --tls-key go together"),
        (["--tls-cert", "x", "--tls-key", "y"], "need --tls-ca"),
    ],
)
def test_tls_that_cannot_be_used_exits_2_with_a_clear_line(
    tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = run(tmp_path, *arguments)
    assert result.exit_code == 2
    assert words in result.output


def test_tls_is_for_a_target_alone() -> None:
    result = invoke("--tls-ca", "ca.pem")
    assert result.exit_code == 2
    assert "TLS is for --target alone" in result.output
