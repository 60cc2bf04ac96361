"""Hands what the fake received from the threads of its host to the runner."""

import threading
from collections.abc import Callable, Sequence

from cio_fake import Received

from cio_conformance.run.verdict import Arrival


class Inbox:
    """Operations in order of receipt. ``put`` is a fake's ``on_received``."""

    def __init__(self) -> None:
        self._arrivals: list[Arrival] = []
        self._changed = threading.Condition()

    def put(self, received: Received) -> None:
        """Take in what a request asked for; a GET asks for nothing."""
        status = received.response.status
        answer = received.response.body.decode("utf-8", "replace")
        with self._changed:
            self._arrivals += [
                Arrival(operation, status, answer) for operation in received.operations
            ]
            self._changed.notify_all()

    def wait(self, enough: Callable[[Sequence[Arrival]], bool], seconds: float) -> bool:
        """Wait until there is enough, ``seconds`` at most; whether there is."""
        with self._changed:
            return self._changed.wait_for(lambda: enough(self._arrivals), seconds)

    def take(self) -> list[Arrival]:
        """Everything that is there, which is gone from here then."""
        with self._changed:
            taken, self._arrivals = self._arrivals, []
            return taken
