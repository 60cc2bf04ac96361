"""Bounds the memory of the bodies that are read and processed at the same time. PURE."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cio_sidecar.http_ingest.errors import RequestError, unavailable


class Budget:
    """A number of bytes that requests share."""

    def __init__(self, most_bytes: int) -> None:
        self._left = most_bytes

    @contextmanager
    def hold(self) -> Iterator[Callable[[int], None]]:
        """Yields a function that takes bytes, which are given back when the block ends.

        The function raises RequestError (503) if so many are not left.
        """
        held = 0

        def take(size: int) -> None:
            nonlocal held
            if size > self._left:
                raise busy()
            self._left -= size
            held += size

        try:
            yield take
        finally:
            self._left += held


def busy() -> RequestError:
    """The error of a request for which there is no memory at the moment."""
    return unavailable("too many large requests at the same time")
