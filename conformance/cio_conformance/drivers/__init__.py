"""Callers in other languages: their drivers, and the cases that go through them."""

from typing import Literal

Route = Literal["struct", "json"]
"""The form in which objects are sent."""
Call = Literal["send", "batch", "stream"]
"""By which call of IngestService a driver sends."""
