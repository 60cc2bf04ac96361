"""How many events a second come through, by each way in."""

from functools import partial
from typing import Final

from bench.bench import Bench, Flow, Passage
from bench.benchmark import Benchmark
from bench.processes import noop, sidecar
from bench.result import Figure, Run

_EVENTS: Final = "events/s"


def through_sidecar(bench: Bench, flow: Flow) -> Passage:
    """Send a flow through a fresh sidecar."""
    with sidecar(bench.sink.address) as server:
        return bench.send(server, flow)


def through_noop(bench: Bench, flow: Flow) -> Passage:
    """Send it to the server that does nothing."""
    with noop() as server:
        return bench.send(server, flow, delivers=False)


def shares(passage: Passage) -> dict[str, float]:
    """Who was busy how much: the sidecar must be, and nobody else."""
    return {"sidecar_core": passage.server_share, "load_core": passage.load_share}


SHARES: Final = (
    Figure("sidecar_core", "the sidecar's share of its core", "%"),
    Figure("load_core", "load's and sink's share of theirs", "%"),
)


def _measure(flow: Flow, bench: Bench) -> Run:
    did, nothing = through_sidecar(bench, flow), through_noop(bench, flow)
    values = {
        "delivered": did.delivered_per_second,
        "acked": did.acked_per_second,
        "noop": nothing.acked_per_second,
        "ratio": did.delivered_per_second / nothing.acked_per_second,
        "acked_ratio": did.acked_per_second / nothing.acked_per_second,
        "per_request": did.events / max(1, did.requests),
        **shares(did),
    }
    return Run(values)


def _benchmark(
    name: str,
    words: str,
    flow: Flow,
    *,
    events: float | None = None,
    ratio: float | None = None,
) -> Benchmark:
    figures = (
        Figure("delivered", "delivered", _EVENTS, at_least=events),
        Figure("acked", "acknowledged", _EVENTS),
        Figure("noop", "a server that does nothing", _EVENTS),
        Figure("ratio", "delivered, of what that server takes", "%", at_least=ratio),
        Figure("acked_ratio", "acknowledged, of what that server takes", "%"),
        Figure("per_request", "events a request to Customer.io"),
        *SHARES,
    )
    return Benchmark(name, words, partial(_measure, flow), figures)


BATCH_JSON: Final = Flow("SendBatch", "json", batch=500, in_flight=4)
BATCH_STRUCT: Final = Flow("SendBatch", "struct", batch=500, in_flight=4)
UNARY: Final = Flow("Send", in_flight=64)
STREAM: Final = Flow("Stream", in_flight=256)
STREAM_100: Final = Flow("Stream", batch=100, in_flight=64)

BENCHMARKS: Final = (
    _benchmark("batch-json", "SendBatch of 500, properties as JSON", BATCH_JSON, events=50_000),
    _benchmark(
        "batch-struct", "SendBatch of 500, properties as a Struct", BATCH_STRUCT, events=15_000
    ),
    _benchmark("unary", "Send, 64 in flight", UNARY, ratio=0.8),
    _benchmark("stream", "Stream, one event a message", STREAM, ratio=0.8),
    _benchmark("stream-100", "Stream, 100 events a message", STREAM_100, events=35_000),
)
