"""``python -m cio_sidecar`` is the command ``cio-sidecar``."""

from cio_sidecar.app.cli import main

main()
