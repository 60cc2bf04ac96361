"""Metrics for Prometheus, read from counters when they are asked for: nothing is done per event."""

from collections.abc import Iterable
from contextlib import suppress

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from cio_sidecar.app.reload import Reloader
from cio_sidecar.delivery.dispatcher import Dispatcher
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.model import Stats
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from cio_sidecar.http_ingest.handlers import HttpIngestCounters
from cio_sidecar.intake import Intake


class Metrics(Collector):
    """The sidecar's metrics."""

    def __init__(
        self,
        intake: Intake,
        queue: SqliteQueue,
        dispatcher: Dispatcher,
        reloader: Reloader,
        http_ingest: HttpIngestCounters | None = None,
    ) -> None:
        """``http_ingest`` counts what comes over HTTP, where that is on."""
        self._http_ingest = http_ingest
        self._reloader = reloader
        self._intake = intake
        self._queue = queue
        self._dispatcher = dispatcher
        self._stats: Stats | None = None
        self._now = 0.0
        self._registry = CollectorRegistry()
        self._registry.register(self)

    async def text(self, now: float) -> bytes:
        """All metrics in Prometheus' text format; ``now`` in Unix seconds."""
        self._now = now
        # A queue that can't be read, or is closed at the end: what was found last is shown.
        with suppress(QueueError):
            self._stats = await self._queue.stats()
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
        if self._http_ingest:
            yield from self._of_http_ingest(self._http_ingest)
        counters = self._dispatcher.counters
        yield CounterMetricFamily(
            "cio_events_warned", "Accepted events with warnings.", self._intake.counters.warned
        )
        yield CounterMetricFamily(
            "cio_events_dropped",
            "Accepted events that are not sent because a table says so.",
            self._intake.counters.dropped,
        )
        yield CounterMetricFamily(
            "cio_events_delivered", "Events that Customer.io took.", counters.delivered
        )
        yield CounterMetricFamily(
            "cio_events_retried", "Attempts at events that will be tried again.", counters.retried
        )
        yield CounterMetricFamily(
            "cio_events_dead_lettered",
            "Events that Customer.io rejected permanently.",
            counters.dead_letters,
        )
        yield CounterMetricFamily(
            "cio_events_expired",
            "Those of the dead-lettered that were over the age limit.",
            counters.expired,
        )
        answers = CounterMetricFamily(
            "cio_requests",
            "Requests to Customer.io by the status of the answer; 0 is no answer.",
            labels=["status"],
        )
        for code, count in sorted(counters.answers.items()):
            answers.add_metric([str(code)], count)
        yield answers
        if self._stats:
            yield from self._of_queue(self._stats)
        removed = CounterMetricFamily(
            "cio_dead_letters_removed",
            "Dead letters that were removed because they were over a bound, by the bound.",
            labels=["reason"],
        )
        for reason, count in self._queue.dead_letters_removed.items():
            removed.add_metric([reason], count)
        yield removed
        full = self._queue.full_because is not None
        yield GaugeMetricFamily(
            "cio_queue_accepting",
            "0 while new events are rejected: the queue or its disk is full, the disk fails, or "
            "the queue file is damaged.",
            self._queue.not_accepting_because is None and not full,
        )
        yield GaugeMetricFamily(
            "cio_queue_full",
            "1 while new events are rejected because the queue or its disk is full.",
            full,
        )
        reloads = CounterMetricFamily(
            "cio_tables_reloads",
            "Reloads of the tables, by what became of them.",
            labels=["result"],
        )
        for result, count in self._reloader.reloads.items():
            reloads.add_metric([result.replace(" ", "_")], count)
        yield reloads
        yield GaugeMetricFamily(
            "cio_tables_loaded_timestamp_seconds",
            "When the current tables were loaded, in Unix seconds.",
            self._reloader.loaded_at,
        )
        yield from self._of_delivery(self._dispatcher)

    def _of_http_ingest(self, http_ingest: HttpIngestCounters) -> Iterable[Metric]:
        events = CounterMetricFamily(
            "cio_http_ingest_events",
            "Those of the received events that came over HTTP, and those excluded there.",
            labels=["status"],
        )
        for status, count in http_ingest.events.items():
            events.add_metric([status], count)
        yield events
        requests = CounterMetricFamily(
            "cio_http_ingest_requests",
            "Requests with events over HTTP, by the status of the answer.",
            labels=["status"],
        )
        for code, count in sorted(http_ingest.requests.items()):
            requests.add_metric([str(code)], count)
        yield requests

    def _of_delivery(self, dispatcher: Dispatcher) -> Iterable[Metric]:
        concurrency = dispatcher.policy.concurrency
        hold = dispatcher.hold
        reasons = GaugeMetricFamily(
            "cio_delivery_on_hold",
            "1 while the sidecar holds delivery back, by the reason.",
            labels=["reason"],
        )
        for each in HoldReason:
            reasons.add_metric([each.value], hold is not None and hold.reason is each)
        yield reasons
        next_attempt = hold.next_attempt_seconds if hold else None
        for name, what, value in (
            (
                "cio_delivery_hold_seconds",
                "For how long delivery has been on hold; 0 while it is not.",
                hold.seconds if hold else 0.0,
            ),
            (
                "cio_delivery_next_attempt_seconds",
                "In how many seconds a delivery that is on hold tries again; 0 while it is not.",
                next_attempt or 0.0,
            ),
            (
                "cio_delivery_paused",
                "1 while an operator has paused delivery.",
                dispatcher.paused_seconds is not None,
            ),
            (
                "cio_requests_in_flight",
                "Requests to Customer.io that have no answer yet.",
                concurrency.in_flight,
            ),
            (
                "cio_concurrency_limit",
                "How many may be in flight, as far as Customer.io bears it.",
                concurrency.limit,
            ),
            (
                "cio_parked_events",
                "Events behind many of their person's, which are not held in memory.",
                dispatcher.policy.lanes.parked,
            ),
        ):
            yield GaugeMetricFamily(name, what, value)
        decreases = CounterMetricFamily(
            "cio_concurrency_decreases",
            "How often the limit went down: by 429, 5xx or no answer, or by slow answers.",
            labels=["reason"],
        )
        for reason, count in concurrency.decreases.items():
            decreases.add_metric([reason], count)
        yield decreases

    def _of_queue(self, stats: Stats) -> Iterable[Metric]:
        oldest = stats.oldest_accepted_at
        age = 0.0 if oldest is None else max(0.0, self._now - oldest)
        for name, what, value in (
            ("cio_queue_events", "Events that wait or are in flight.", stats.waiting),
            ("cio_queue_bytes", "Bytes of those events.", stats.waiting_bytes),
            ("cio_queue_oldest_seconds", "Age of the oldest of them.", age),
            ("cio_queue_file_bytes", "Bytes of the queue file in use.", stats.file_bytes),
            ("cio_queue_wal_bytes", "Bytes of the WAL beside it.", stats.wal_bytes),
            ("cio_dead_letters", "Dead letters in the queue file.", stats.dead_letters),
            ("cio_dead_letter_bytes", "Bytes of those.", stats.dead_letter_bytes),
        ):
            yield GaugeMetricFamily(name, what, value)
        if stats.disk_free_bytes is not None:
            yield GaugeMetricFamily(
                "cio_queue_disk_free_bytes",
                "Free bytes of the disk that the queue file is on.",
                stats.disk_free_bytes,
            )
