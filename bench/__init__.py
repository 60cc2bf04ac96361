"""The benchmark: how fast the sidecar is, beside servers that do nothing and other clients."""
