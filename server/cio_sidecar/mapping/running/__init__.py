"""Compiles mapping tables, and runs them on events. PURE."""
