"""What every benchmark is given: the load, the sink, and how long to measure."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bench import events
from bench.machine import cpu_seconds
from bench.processes import WORK, Broken, Server, Sink, run_load


@dataclass(frozen=True)
class Flow:
    """How events are sent."""

    method: str
    """Send, SendBatch or Stream."""
    form: events.Form = "json"
    batch: int = 1
    """Events a message."""
    in_flight: int = 64
    """Messages."""
    connections: int = 1
    people: int = 10_000
    size_bytes: int = 0
    """Of an event; 0: that of an order."""

    def flags(self) -> list[str]:
        """The flags of ``load run``."""
        given = {
            "events": events.write(WORK, self.form, self.size_bytes),
            "method": self.method,
            "batch": self.batch,
            "people": self.people,
            "in-flight": self.in_flight,
            "connections": self.connections,
        }
        return [word for name, value in given.items() for word in (f"-{name}", str(value))]


@dataclass(frozen=True)
class Passage:
    """What came of a load."""

    events: int
    acked_per_second: float
    delivered_per_second: float
    """From the first event sent to the last one delivered; 0 where nothing delivers."""
    latency_ms: dict[str, float]
    server_share: float
    """Of its core, from the first event to the last."""
    load_share: float
    """Of its core: of the load and the sink together."""
    requests: int = 0
    """To the sink."""


@dataclass(frozen=True)
class Bench:
    """The tools of a benchmark."""

    load: Path
    sink: Sink
    seconds: float
    """How long one load lasts."""
    quick: bool = False

    def send(self, server: Server, flow: Flow, *flags: str, delivers: bool = True) -> Passage:
        """Send events, for as long as a load lasts or as ``flags`` say, until all are delivered.

        Something of the kind is sent before, which doesn't count.
        """
        warming = self._send(server, flow, "-for", f"{min(1.0, self.seconds / 3)}s")
        if delivers:
            self.sink.until(warming["events"])
        return self.send_at_once(server, flow, *flags, delivers=delivers)

    def send_at_once(
        self, server: Server, flow: Flow, *flags: str, delivers: bool = True
    ) -> Passage:
        """The same, and nothing before."""
        cpu = cpu_seconds(server.pid)
        found = self._send(server, flow, *(flags or ("-for", f"{self.seconds}s")))
        took, load_cpu, requests, delivered = found["seconds"], found["cpu_seconds"], 0, 0.0
        if delivers:
            tally = self.sink.until(found["events"])
            if tally["operations"] > found["events"]:
                raise Broken(
                    f"{tally['operations']:,} operations came of {found['events']:,} events"
                )
            took = tally["last_at"] - found["started_at"]
            delivered = found["events"] / took
            load_cpu += tally["cpu_seconds"]
            requests = tally["requests"]
        return Passage(
            events=found["events"],
            acked_per_second=found["events"] / found["seconds"],
            delivered_per_second=delivered,
            latency_ms=found["latency_ms"],
            server_share=(cpu_seconds(server.pid) - cpu) / took,
            load_share=load_cpu / took,
            requests=requests,
        )

    def _send(self, server: Server, flow: Flow, *flags: str) -> dict[str, Any]:
        self.sink.reset()
        return run_load(self.load, server.target, [*flow.flags(), *flags])

    def shorter(self, share: float) -> "Bench":
        """For benchmarks of many parts."""
        return replace(self, seconds=self.seconds * share)
