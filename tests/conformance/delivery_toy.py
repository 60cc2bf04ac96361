"""A toy sidecar that delivers by v1 in order and tries again; a test makes it do so wrongly."""

from __future__ import annotations

import queue
import threading
import time
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPException
from typing import Any

import grpc
import orjson
from cio.sidecar.v1 import event_pb2, ingest_pb2, ingest_pb2_grpc
from cio_conformance.run.credentials import DEFAULT
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

DEAD = frozenset({400, 404, 413, 422})
_AGAIN_SECONDS = 0.02


@dataclass
class Toy(ingest_pb2_grpc.IngestServiceServicer):
    """Track events alone. Each flag below is a mistake of its own."""

    base_url: str
    drops: Callable[[int], bool] = lambda _: False
    """Whether an event is given up after an answer; 0 is no answer."""
    doubles: bool = False
    """Sends what was taken once more."""
    reorders: bool = False
    """Puts what failed behind the person's other events."""
    hurries: bool = False
    """Doesn't honour Retry-After."""
    renames: bool = False
    """Gives an event another id each time it is sent."""
    insists: bool = False
    """Tries again what was rejected."""
    believes: bool = False
    """Takes a web page for Customer.io's answer."""
    mute: bool = False
    """Accepts everything, and delivers nothing."""
    one_lane: bool = False
    """Everybody waits for everybody."""
    stopped: threading.Event = field(default_factory=threading.Event)
    lanes: dict[str, queue.SimpleQueue[event_pb2.Event]] = field(default_factory=dict)

    def SendBatch(  # noqa: N802 (the contract's name)
        self,
        request: ingest_pb2.SendBatchRequest,
        context: Any,  # noqa: ARG002
    ) -> ingest_pb2.SendBatchResponse:
        for event in () if self.mute else request.events:
            name = "all" if self.one_lane else event.user_id
            if name not in self.lanes:
                self.lanes[name] = queue.SimpleQueue()
                threading.Thread(target=self._deliver, args=(name,), daemon=True).start()
            self.lanes[name].put(event)
        accepted = ingest_pb2.EventResult(status=ingest_pb2.EVENT_STATUS_ACCEPTED)
        return ingest_pb2.SendBatchResponse(results=[accepted] * len(request.events))

    def Send(self, request: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    def Stream(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError

    def _deliver(self, name: str) -> None:
        lane = self.lanes[name]
        while not self.stopped.is_set():
            try:
                event = lane.get(timeout=_AGAIN_SECONDS)
            except queue.Empty:
                continue
            tries = 0
            while not self.stopped.is_set():
                tries += 1
                status, wait = self._post(event, tries)
                if status == 200 and self.doubles:
                    self._post(event, tries)
                if status == 200 or self.drops(status) or (status in DEAD and not self.insists):
                    break
                if self.reorders:
                    # What is to be reordered with may be on its way yet.
                    self.stopped.wait(_AGAIN_SECONDS)
                    lane.put(event)
                    break
                self.stopped.wait(0 if self.hurries else wait)

    def _post(self, event: event_pb2.Event, tries: int) -> tuple[int, float]:
        """Send an event: the status, 0 for no answer, and how long to wait, in seconds."""
        mark = event.message_id
        if self.renames:
            # The id as such stays in sight, but not where Customer.io looks.
            body = {"name": event.track.event, "data": {"id": mark, "try": tries}}
        else:
            body = {"name": event.track.event, "id": mark}
        token = b64encode(f"{DEFAULT.site_id}:{DEFAULT.api_key}".encode()).decode()
        request = urllib.request.Request(
            f"{self.base_url}/api/v1/customers/{event.user_id}/events",
            orjson.dumps({**body, "timestamp": int(time.time())}),
            {"Authorization": f"Basic {token}"},
            method="POST",
        )
        try:
            with urllib.request.urlopen(request) as response:
                response.read()
                return response.status, _AGAIN_SECONDS
        except urllib.error.HTTPError as error:
            with error:
                after = float(error.headers.get("Retry-After") or _AGAIN_SECONDS)
                is_page = error.read().startswith(b"<")
                return 0 if is_page and not self.believes else error.code, after
        except (OSError, HTTPException):
            return 0, _AGAIN_SECONDS


@contextmanager
def serving(toy: Toy) -> Iterator[str]:
    """Serve a toy; yields its address."""
    server = grpc.server(ThreadPoolExecutor(4))
    ingest_pb2_grpc.add_IngestServiceServicer_to_server(toy, server)
    healthy = health.HealthServicer()
    healthy.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(healthy, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        toy.stopped.set()
        server.stop(None).wait()
