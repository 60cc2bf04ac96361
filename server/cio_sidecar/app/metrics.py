"""Metrics for Prometheus, read from counters when they are asked for: nothing is done per event."""

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cio_sidecar.delivery.dispatcher import Dispatcher
from cio_sidecar.delivery.queue.sqlite import SqliteQueue
from cio_sidecar.rpc.intake import Intake


class Metrics(Collector):
    """The sidecar's metrics."""

    def __init__(self, intake: Intake, queue: SqliteQueue, dispatcher: Dispatcher) -> None:
        self._intake = intake
        self._queue = queue
        self._dispatcher = dispatcher
        self._registry = CollectorRegistry()
        self._registry.register(self)

    def text(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self._registry)

    def collect(self) -> Iterable[Metric]:
        """Read the counters."""
        received = CounterMetricFamily(
            "cio_events_received",
            "Events that callers sent, by what became of them.",
            labels=["status"],
        )
        for status, count in self._intake.counters.by_status.items():
            received.add_metric([status.value], count)
        yield received
        counters = self._dispatcher.counters
        yield CounterMetricFamily(
            "cio_events_warned", "Accepted events with warnings.", self._intake.counters.warned
        )
        yield CounterMetricFamily(
            "cio_events_delivered", "Events that Customer.io took.", counters.delivered
        )
        yield CounterMetricFamily(
            "cio_events_retried", "Attempts at events that will be tried again.", counters.retried
        )
        yield CounterMetricFamily(
            "cio_events_dead_lettered",
            "Events that Customer.io refused for good.",
            counters.dead_letters,
        )
        answers = CounterMetricFamily(
            "cio_requests",
            "Requests to Customer.io by the status of the answer; 0 is no answer.",
            labels=["status"],
        )
        for code, count in sorted(counters.answers.items()):
            answers.add_metric([str(code)], count)
        yield answers
        yield GaugeMetricFamily(
            "cio_queue_events", "Events that wait or are in flight.", self._queue.waiting
        )
        yield GaugeMetricFamily(
            "cio_delivery_paused",
            "1 while delivery is paused because the credentials were refused.",
            self._dispatcher.paused_because is not None,
        )
