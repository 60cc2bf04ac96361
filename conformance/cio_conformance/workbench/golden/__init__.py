"""Writes golden cases: ``update`` rewrites those that there are, ``new`` makes one of an event."""
