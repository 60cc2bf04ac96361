"""Reads mapping tables from YAML, and checks them. PURE."""
