"""Proves that nothing acknowledged is lost: load, faults, and a judge outside of the sidecar."""
