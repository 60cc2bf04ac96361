"""``python -m cio_sidecar`` is the command ``cio-sidecar``."""

from cio_sidecar.cli.main import main

main()
