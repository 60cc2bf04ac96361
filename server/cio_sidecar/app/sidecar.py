"""The sidecar put together: its parts wired, and their life from start to stop."""

import asyncio
import logging
import random
import ssl
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

import grpc
from ulid import ULID

from cio_sidecar import __version__
from cio_sidecar.app.config import ConfigError, Settings
from cio_sidecar.app.health import Check, delivery_check, queue_check
from cio_sidecar.app.http import HttpHost, HttpServer
from cio_sidecar.app.metrics import Metrics
from cio_sidecar.app.preflight import tls_problems
from cio_sidecar.app.reload import Reloader
from cio_sidecar.app.tables import load_tables
from cio_sidecar.app.tls import TlsFiles
from cio_sidecar.customerio.answer_body import parse
from cio_sidecar.customerio.answers import Outcome, classify
from cio_sidecar.delivery.age_clock import AgeClock
from cio_sidecar.delivery.dispatcher import Dispatcher
from cio_sidecar.delivery.hold import HoldReason
from cio_sidecar.delivery.http_client import Sender, Unreachable
from cio_sidecar.delivery.proxy import ProxyError
from cio_sidecar.delivery.shipper import why_not
from cio_sidecar.event_queue.errors import QueueError
from cio_sidecar.event_queue.sqlite_queue import SqliteQueue
from cio_sidecar.http_ingest.browsers import Browsers
from cio_sidecar.http_ingest.handlers import HttpIngest
from cio_sidecar.intake import Intake
from cio_sidecar.renderer import Renderer
from cio_sidecar.rpc.delivery_service import DeliveryService
from cio_sidecar.rpc.ingest import IngestService
from cio_sidecar.rpc.mapping_service import MappingService
from cio_sidecar.rpc.server import Server

log = logging.getLogger(__name__)


class Sidecar:
    """A running sidecar: ``async with Sidecar(settings) as sidecar``.

    Entering raises ConfigError where a setting can't be used. Leaving stops accepting, lets what is
    in flight end within the grace period, and leaves the rest on disk.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.address = ""
        """Where gRPC listens."""
        self.shared_address: str | None = None
        self.http_address: str | None = None
        self.http_ingest_address: str | None = None
        self._stack = AsyncExitStack()
        self._life = Check("life_cycle", "starting", time.time(), healthy=False)
        self._condition_since = time.time()
        self._server: Server | None = None
        self._at_once = asyncio.Event()
        self._stopping = False
        self._deadline = 0.0
        self._reload = asyncio.Event()

    def reload(self) -> None:
        """Ask for the tables to be read again; returns at once."""
        self._reload.set()

    def stop_at_once(self) -> None:
        """End the shutdown delay, or skip it if it has not begun; returns at once."""
        self._at_once.set()

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._leave()
        self._stopping = True
        self._deadline = time.monotonic() + self.settings.shutdown_grace_seconds
        await self._stack.aclose()

    async def until(self, stopped: asyncio.Event) -> None:
        """Run until ``stopped`` is set, and for the shutdown delay after that.

        Raises whatever ends delivery before that: a sidecar that accepts and does not deliver must
        not look alive.
        """
        was_ready = not stopped.is_set()
        await self._wait(stopped)
        self._leave()
        delay_seconds = self.settings.shutdown_delay_seconds
        # No one was sent here who must find out first.
        if delay_seconds and was_ready:
            log.info(
                "shutting down: events are accepted for another %g s; a second signal ends that",
                delay_seconds,
            )
            await self._wait(self._at_once, delay_seconds)

    async def _wait(self, event: asyncio.Event, seconds: float | None = None) -> None:
        """Wait for an event, at most so long. Raises whatever ends delivery before that."""
        waiting = asyncio.create_task(event.wait())
        try:
            await asyncio.wait(
                {waiting, self._delivery}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED
            )
        finally:
            waiting.cancel()
        if self._delivery.done():
            self._delivery.result()
            raise RuntimeError("delivery ended, and nothing had stopped it")

    def _leave(self) -> None:
        """Report that no more events should be sent here; those that come are accepted."""
        if self._life.state != "shutting_down":
            self._life = Check(
                "life_cycle",
                "shutting_down",
                time.time(),
                healthy=False,
                message="the sidecar is shutting down",
                what_to_do="Send events to another sidecar, or to this one when it is back.",
            )
        self._set_health()

    def _on_condition(self) -> None:
        self._condition_since = time.time()
        self._set_health()

    def _set_health(self) -> None:
        if self._server:
            is_leaving = self._life.state == "shutting_down"
            self._server.set_accepting(not is_leaving and self.queue.not_accepting_because is None)

    async def _start(self) -> None:
        settings = self.settings
        settings.require_credentials()
        tables = load_tables(settings)
        sender = await self._stack.enter_async_context(self._make_sender())
        # Health and metrics are served to the very end.
        last_stops: list[Callable[[], Awaitable[None]]] = []
        self._stack.push_async_callback(_all, last_stops)
        self.queue = self._open_queue()
        self._stack.push_async_callback(asyncio.to_thread, self.queue.close)
        self.dispatcher = Dispatcher(
            self.queue,
            sender,
            v1=settings.api == "v1",
            concurrency=settings.concurrency,
            per_second=settings.requests_per_second,
            max_age_seconds=settings.max_age_seconds,
            retry_after_max_seconds=settings.retry_after_max_seconds,
            breaker_rejections=settings.breaker_rejections,
            clock=time.monotonic,
            wall_clock=time.time,
            age_clock=AgeClock(time.time, time.monotonic),
            random=random.random,
        )
        self._delivery = asyncio.create_task(self.dispatcher.run())
        self._stack.push_async_callback(self._finish_delivery)
        intake = self.intake = Intake(
            Renderer(tables),
            self.queue,
            clock=time.time,
            new_message_id=lambda: str(ULID()),
            limits=settings.call_limits,
        )
        self.reloader = Reloader(settings, intake, self._reload)
        self._start_task(self.reloader.run())
        if settings.overlay_watch and settings.overlay:
            self._start_task(self.reloader.watch(settings.overlay))
        self.http_ingest = self._make_http_ingest(intake) if settings.http_ingest != "off" else None
        if settings.http_listen != "off":
            counters = self.http_ingest.counters if self.http_ingest else None
            metrics = Metrics(intake, self.queue, self.dispatcher, self.reloader, counters)
            http = HttpServer(metrics, self._readiness, lambda: [self._delivery_check()])
            last_stops.append(http.stop)
            self.http_address = await self._listening("CIO_HTTP_LISTEN", http.start)
        server = self._server = Server(
            IngestService(intake),
            MappingService(intake, clock=time.time),
            DeliveryService(self.queue, self.dispatcher, lambda: intake.renderer, clock=time.time),
            settings.socket_access,
        )
        grace_seconds = settings.shutdown_grace_seconds
        stops: list[Callable[[], Awaitable[None]]] = [partial(server.stop, grace_seconds)]
        self._stack.push_async_callback(_all, stops)
        self.queue.on_condition = self._on_condition
        await self.queue.try_out()
        self._set_health()
        own, shared, tls = self._tls()
        if self.http_ingest:
            host = HttpHost(self.http_ingest.application(), grace_seconds=grace_seconds, tls=tls)
            stops.append(host.stop)
            self.http_ingest_address = await self._listening("CIO_HTTP_INGEST", host.start)
        if settings.shared_listen != "off":
            self.shared_address = await self._listening(
                "CIO_SHARED_LISTEN", lambda listen: server.share(listen, shared)
            )
        self.address = await self._listening("CIO_LISTEN", lambda listen: server.start(listen, own))
        self._life = Check("life_cycle", "serving", time.time())
        log.info(
            "serving on %s%s, delivering to %s (api %s, profile %s); %d event(s) in the queue",
            self.address,
            " by TLS" if own else "",
            settings.track_url,
            settings.api,
            settings.profile,
            self.queue.waiting,
        )
        if self.shared_address:
            log.info("serving on %s too, which others may share", self.shared_address)
        if self.http_address:
            log.info("readiness and metrics on http://%s", self.http_address)
        if self.http_ingest_address:
            scheme = "https" if tls else "http"
            log.info("SDKs of Segment are served on %s://%s", scheme, self.http_ingest_address)
        self._start_task(self._check_credentials(sender))

    def _make_sender(self) -> Sender:
        settings = self.settings
        try:
            return Sender(
                settings.track_url,
                settings.site_id,
                settings.api_key.get_secret_value(),
                connections=settings.concurrency,
                timeout_seconds=settings.timeout_seconds,
                user_agent=f"cio-sidecar/{__version__}",
                secrets=settings.write_keys,
            )
        except ProxyError as error:
            raise ConfigError(str(error)) from None

    def _make_http_ingest(self, intake: Intake) -> HttpIngest:
        return HttpIngest(
            intake,
            write_keys=self.settings.write_keys,
            browsers=Browsers(
                self.settings.origins, loopback=self.settings.http_ingest_is_loopback
            ),
            clock=time.monotonic,
            is_stopping=lambda: self._stopping,
        )

    def _start_task(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside, until the sidecar stops."""
        task = asyncio.create_task(work)
        task.add_done_callback(_log_error)
        self._stack.push_async_callback(_end, task)

    def _open_queue(self) -> SqliteQueue:
        settings = self.settings
        try:
            return SqliteQueue(
                settings.queue_file,
                limits=settings.queue_limits,
                clock=time.time,
                age_clock=AgeClock(time.time, time.monotonic),
            )
        except (QueueError, OSError) as error:
            raise ConfigError(f"CIO_DATA_DIR: {error}") from None

    def _tls(
        self,
    ) -> tuple[grpc.ServerCredentials | None, grpc.ServerCredentials | None, ssl.SSLContext | None]:
        """What gRPC at each of its addresses, and HTTP ingest, speak TLS with; None for plain
        text.
        """
        settings = self.settings
        if problems := tls_problems(settings):
            raise ConfigError("\n".join(problems))
        certificate, key = settings.tls_cert_file, settings.tls_key_file
        if certificate is None or key is None:
            return None, None, None
        files = TlsFiles(certificate, key, settings.tls_client_ca_file)
        try:
            # gRPC takes credentials that are renewed for a single server.
            return files.credentials(), files.credentials(), files.context()
        except OSError as error:
            raise ConfigError(
                f"CIO_TLS_…_FILE: can't read {error.filename}: {error.strerror}"
            ) from None
        except ValueError as error:
            raise ConfigError(f"CIO_TLS_…_FILE: {error}") from None

    async def _listening(self, setting: str, start: Callable[[str], Awaitable[str]]) -> str:
        listen: str = getattr(self.settings, setting.removeprefix("CIO_").lower())
        try:
            return await start(listen)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{setting}: {error}") from None

    async def _finish_delivery(self) -> None:
        self.dispatcher.stop(drain=self.settings.shutdown == "drain")
        # The calls have had their part of the grace period.
        left_seconds = max(0.0, self._deadline - time.monotonic())
        if self.address:
            log.info("no longer accepting events; delivery ends within %.0f s", left_seconds)
        _, pending = await asyncio.wait({self._delivery}, timeout=left_seconds)
        for task in pending:
            task.cancel()
        if self.address:
            left = self.queue.waiting
            if left and (because := self.queue.not_accepting_because):
                log.error("stopped; %d event(s) left, which may be lost: %s", left, because)
                return
            log.info("stopped; %d event(s) left in the queue for the next start", left)

    async def _check_credentials(self, sender: Sender) -> None:
        """Ask Customer.io at the start whether the credentials are good, and of which region."""
        try:
            answer = await sender.region()
        except Unreachable as error:
            log.warning(
                "%s: check CIO_REGION, CIO_BASE_URL and the network; events are kept", error
            )
            return
        outcome = classify(answer)
        if outcome is Outcome.UNAUTHORIZED:
            self.dispatcher.hold_back(HoldReason.CREDENTIALS, why_not(outcome, answer))
            return
        if outcome in (Outcome.MISDIRECTED, Outcome.NOT_FOUND):
            if not self.dispatcher.counters.delivered:
                self.dispatcher.hold_back(HoldReason.WRONG_ADDRESS, why_not(outcome, answer))
            return
        body = parse(answer.body)
        region = body.get("region") if isinstance(body, dict) else None
        if region in ("us", "eu") and region != self.settings.region and not self.settings.base_url:
            log.error(
                "the workspace is in region %s, but CIO_REGION is %s: set CIO_REGION=%s",
                region,
                self.settings.region,
                region,
            )

    def _readiness(self) -> list[Check]:
        queue = self.queue
        checks = [
            self._life,
            queue_check(
                queue.not_accepting_because,
                queue.full_because,
                condition_since=self._condition_since,
                fullness_since=time.time() - queue.full_seconds,
            ),
        ]
        if self.settings.ready_requires_delivery:
            checks.append(self._delivery_check())
        return checks

    def _delivery_check(self) -> Check:
        dispatcher = self.dispatcher
        return delivery_check(
            paused_seconds=dispatcher.paused_seconds,
            hold=dispatcher.hold,
            active_seconds=dispatcher.active_seconds,
            accepts_rejections=dispatcher.accepts_rejections,
            now=time.time(),
        )


def _log_error(task: "asyncio.Task[None]") -> None:
    """Log an unexpected error that ended a task. Its words may hold a person's data."""
    if not task.cancelled() and (error := task.exception()):
        name = getattr(task.get_coro(), "__qualname__", "a task")
        log.error("internal error: %s ended (%s)", name, type(error).__name__)


async def _end(task: "asyncio.Task[None]") -> None:
    """Cancel a task and wait for its end."""
    task.cancel()
    await asyncio.wait({task})


async def _all(stops: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Stop several things at a time."""
    await asyncio.gather(*(stop() for stop in stops))
