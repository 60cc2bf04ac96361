"""The parts of the way, each alone, and the other ways to send: what there is to compare with."""

from functools import partial
from typing import Final

from bench.bench import Bench, Flow
from bench.benchmark import Benchmark
from bench.benchmarks.throughput import BATCH_JSON, SHARES, shares, through_sidecar
from bench.processes import go_noop, run_python, sidecar
from bench.result import Figure, Run

_PARTS: Final = {
    "decode-json": "message → event, properties as JSON",
    "decode-struct": "message → event, properties as a Struct",
    "write-json": "event → JSON, by orjson alone",
    "sqlite": "rows in SQLite, 500 a transaction, synchronous=FULL",
}


def _mapping(bench: Bench) -> Run:
    return Run({"mapping": run_python("bench.parts", "mapping", str(bench.seconds))})


def _parts(bench: Bench) -> Run:
    seconds = str(bench.seconds / 2)
    return Run({part: run_python("bench.parts", part, seconds) for part in _PARTS})


def _v1(bench: Bench) -> Run:
    # As many events as bare HTTP brings over in this time: they come in faster than they leave.
    bare = run_python("bench.parts", "bare-http", str(bench.seconds), bench.sink.address)
    messages = max(2, round(bare * bench.seconds / BATCH_JSON.batch))
    with sidecar(bench.sink.address, {"api": "v1"}, uncapped=True) as server:
        found = bench.send(server, BATCH_JSON, "-messages", str(messages))
    values = {"requests": found.delivered_per_second, "bare": bare}
    return Run({**values, "ratio": found.delivered_per_second / bare, **shares(found)})


def _official(bench: Bench) -> Run:
    did = through_sidecar(bench, BATCH_JSON).delivered_per_second
    client = partial(run_python, "bench.official", bench.sink.address)
    one, batch = client("one", str(bench.seconds)), client("batch", str(bench.seconds))
    ratios = {"ratio": did / one, "batch_ratio": did / batch}
    return Run({"delivered": did, "one": one, "batch": batch, **ratios})


_LOADS: Final = {
    "Send": Flow("Send", in_flight=64),
    "SendBatch": BATCH_JSON,
    "Stream": Flow("Stream", in_flight=256),
}


def _load(bench: Bench) -> Run:
    short = bench.shorter(0.5)
    with go_noop(bench.load) as server:
        return Run(
            {
                method: short.send(server, flow, delivers=False).acked_per_second
                for method, flow in _LOADS.items()
            }
        )


BENCHMARKS: Final = (
    Benchmark(
        "mapping",
        "decoded events → the bytes of requests, in one process",
        _mapping,
        (Figure("mapping", "mapped", "events/s", at_least=300_000),),
    ),
    Benchmark(
        "v1",
        "CIO_API=v1: a request for each event, events by SendBatch",
        _v1,
        (
            Figure("requests", "delivered", "requests/s"),
            Figure("bare", "aiohttp alone, the same requests ready-made", "requests/s"),
            Figure("ratio", "delivered, of what aiohttp alone sends", "%", at_least=0.9),
            *SHARES,
        ),
    ),
    Benchmark(
        "official",
        "beside Customer.io's own client for Python, to the same sink",
        _official,
        (
            Figure("delivered", "through the sidecar, as batch-json", "events/s"),
            Figure("one", "Customer.io's client, track() one by one", "events/s"),
            Figure("batch", "Customer.io's client, batch() of 500 ready-made", "events/s"),
            Figure("ratio", "the sidecar, to track()", "times", at_least=50),
            Figure("batch_ratio", "the sidecar, to batch()", "times"),
        ),
    ),
    Benchmark(
        "parts",
        "parts of the way, each alone on a core",
        _parts,
        tuple(Figure(part, words, "events/s") for part, words in _PARTS.items()),
    ),
    Benchmark(
        "load",
        "the load itself, against a server in Go that does nothing",
        _load,
        tuple(Figure(method, method, "events/s") for method in _LOADS),
    ),
)
