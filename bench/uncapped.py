"""The sidecar without its ceiling of requests a second, which is Customer.io's and not its own."""

from pathlib import Path
from typing import Any

from cio_sidecar.app.config import Settings, load_settings
from cio_sidecar.cli import main


def _uncapped(flags: dict[str, Any], file: Path | None = None, check: Any = None) -> Settings:
    return load_settings(flags, file, check).model_copy(update={"requests_per_second": 1e9})


if __name__ == "__main__":
    main.load_settings = _uncapped  # type: ignore[attr-defined]
    main.main()
