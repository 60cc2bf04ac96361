from pathlib import Path

import pytest


@pytest.fixture
def env(credentials: dict[str, str], fake_url: str, tmp_path: Path) -> dict[str, str]:
    """The variables of a sidecar that delivers to the fake."""
    return {
        **credentials,
        "CIO_BASE_URL": fake_url,
        "CIO_LISTEN": f"unix:{tmp_path}/grpc.sock",
        "CIO_HTTP_LISTEN": "off",
        "CIO_DATA_DIR": str(tmp_path / "data"),
        "CIO_QUEUE_MIN_FREE_BYTES": "0",
        "CIO_SHUTDOWN_GRACE_SECONDS": "5",
    }
