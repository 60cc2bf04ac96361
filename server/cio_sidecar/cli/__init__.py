"""The command ``cio-sidecar``: one module per command, loaded when it is used."""
