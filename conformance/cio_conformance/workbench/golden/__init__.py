"""Writes golden cases: ``bless`` rewrites those that there are, ``new`` makes one of an event."""
