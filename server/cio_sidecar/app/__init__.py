"""Wiring: settings, logging, metrics, and the sidecar's life from start to stop."""
