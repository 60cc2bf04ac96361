"""``cio-sidecar dev``: the sidecar and a fake Customer.io in one process, no credentials needed."""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import click
import grpc
import orjson
from cio.sidecar.v1 import ingest_pb2, ingest_pb2_grpc
from cio_fake import FakeCustomerIO, Received, host_aiohttp
from pydantic import SecretStr
from rich.console import Console

from cio_sidecar.app import logs
from cio_sidecar.app.config import Settings
from cio_sidecar.app.sidecar import Sidecar
from cio_sidecar.cli.client import channel_options
from cio_sidecar.cli.settings import FLAGS, settings_from, settings_options
from cio_sidecar.cli.signals import run_until_signal
from cio_sidecar.event_queue.model import Stats
from cio_sidecar.rpc.event_json import from_event

SITE_ID: Final = "dev-site"
API_KEY: Final = "dev-key"
ANSWER_SECONDS: Final = 10
_LINE_CHARACTERS: Final = 240


# The fake stands in for all of these.
_UNUSED: Final = frozenset(
    {"site_id", "site_id_file", "api_key_file", "region", "base_url", "data_dir", "shared_listen"}
    | {"tls_cert_file", "tls_key_file", "tls_client_ca_file"}
)


@click.command()
@click.option("--once", is_flag=True, help="Play the sample events, then end.")
@settings_options([name for name in FLAGS if name not in _UNUSED])
def dev(config: Path | None, once: bool, **flags: Any) -> None:
    """Run the sidecar with a fake Customer.io, and play sample events.

    No credentials are needed. Prints each event, its receipt, the request it becomes and the
    answer. Keeps running afterwards, so that you can send your own events.
    """
    settings = settings_from(config, flags)
    logs.set_up("warning")
    run_until_signal(lambda stopped: run(settings, once=once, stopped=stopped))


class Show:
    """Prints what goes in, what comes out and what is answered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.requests: asyncio.Queue[Received] = asyncio.Queue()
        self.requested = 0

    def event(self, number: int, event: dict[str, Any]) -> None:
        """An event that is about to be sent."""
        line = orjson.dumps(event).decode()
        self._print(f"{number:>3} event   {line}", "bold")

    def receipt(self, result: ingest_pb2.EventResult) -> None:
        """The sidecar's receipt for it."""
        status = ingest_pb2.EventStatus.Name(result.status).removeprefix("EVENT_STATUS_").lower()
        self._print(f"    receipt {status} {result.message_id}", "cyan")

    def received(self, received: Received) -> None:
        """A request that the fake received, and its answer."""
        if received.request.method == "GET":
            return
        body = received.request.body.decode(errors="replace")
        self._print(
            f"    request {received.request.method} {received.request.path} {body}", "green"
        )
        answer = received.response
        self._print(f"    answer  {answer.status} {answer.body.decode()}", "dim")
        self.requested += 1
        self.requests.put_nowait(received)

    def say(self, text: str) -> None:
        """Anything else."""
        self._print(text, "")

    def _print(self, text: str, style: str) -> None:
        if len(text) > _LINE_CHARACTERS:
            text = f"{text[: _LINE_CHARACTERS - 1]}…"
        self._console.print(text, style=style, markup=False, highlight=False, soft_wrap=True)


async def run(settings: Settings, *, once: bool, stopped: asyncio.Event) -> bool:
    """Play the sample events; then stay until ``stopped`` is set, unless ``once``.

    ``settings`` gives everything but the credentials, the base URL and the data folder: the fake
    forgets all at the end, and so does the queue. Returns whether every sample was delivered and
    nothing is left.
    """
    show = Show(Console())
    fake = FakeCustomerIO(SITE_ID, API_KEY, on_received=show.received)
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cio-sidecar-"))
        fake_host = await host_aiohttp.start(fake)
        stack.push_async_callback(fake_host.stop)
        changes: dict[str, Any] = {
            "site_id": SITE_ID,
            "api_key": SecretStr(API_KEY),
            "base_url": fake_host.url,
            "data_dir": Path(folder),
            "tls_cert_file": None,
            "tls_key_file": None,
            "tls_client_ca_file": None,
        }
        if "queue_min_free_bytes" not in settings.model_fields_set:
            # It stores next to nothing, and should run on a disk that is nearly full, too.
            changes["queue_min_free_bytes"] = 0
        if once:
            changes |= {
                "listen": f"unix:{folder}/grpc.sock",
                "http_listen": "off",
                "http_ingest": "off",
            }
        sidecar = await stack.enter_async_context(Sidecar(settings.model_copy(update=changes)))
        show.say(f"fake Customer.io on {fake_host.url}, sidecar on {sidecar.address}\n")
        sent = await _play(sidecar.address, show)
        stats = await _settled(sidecar)
        show.say(
            f"\n{sent} events sent, {show.requested} requests received; the fake holds "
            f"{len(fake.people)} people and {len(fake.events)} events; "
            f"{stats.waiting} waiting, {stats.dead_letters} dead letters"
        )
        all_well = show.requested == sent and stats.waiting == 0 and stats.dead_letters == 0
        if not once:
            http = sidecar.http_address
            show.say(f"\nstill serving gRPC on {sidecar.address}; stop with Ctrl-C")
            show.say(f"what the fake holds: {fake_host.url}/_fake/people, …/events, …/requests")
            if http:
                show.say(f"readiness and metrics: http://{http}/readyz, http://{http}/metrics")
            if sidecar.http_ingest_address:
                show.say(f"the SDKs of Segment: http://{sidecar.http_ingest_address}")
            await stopped.wait()
        return all_well


async def _settled(sidecar: Sidecar) -> Stats:
    """What the queue holds once the last answer is settled, or has been given time to be."""
    deadline = asyncio.get_running_loop().time() + ANSWER_SECONDS
    while (stats := await sidecar.queue.stats()).waiting:
        if asyncio.get_running_loop().time() > deadline:
            break
        await asyncio.sleep(0.01)
    return stats


async def _play(address: str, show: Show) -> int:
    """Send the samples one by one, each when the one before has been answered."""
    samples = files("cio_sidecar.cli").joinpath("samples.ndjson").read_bytes().splitlines()
    async with grpc.aio.insecure_channel(address, options=channel_options(address)) as channel:
        stub = ingest_pb2_grpc.IngestServiceStub(channel)
        for number, line in enumerate(samples, 1):
            event = orjson.loads(line)
            show.event(number, event)
            request = ingest_pb2.SendRequest(event=from_event(event))
            try:
                response = await stub.Send(request, timeout=ANSWER_SECONDS)
                show.receipt(response.result)
                await asyncio.wait_for(show.requests.get(), ANSWER_SECONDS)
            except grpc.aio.AioRpcError as error:
                show.say(f"    {error.code().name}: {error.details()}")
            except TimeoutError:
                show.say(f"    no request came within {ANSWER_SECONDS} seconds")
    return len(samples)
