"""How long a sidecar takes to start."""

import os
import sys
import sysconfig
from contextlib import suppress
from pathlib import Path
from typing import Final

from bench.bench import Bench
from bench.benchmark import Benchmark
from bench.processes import ROOT, sidecar
from bench.result import Figure, Run


def _start(bench: Bench) -> Run:
    with sidecar(bench.sink.address) as server:
        warm = server.ready_seconds
    _forget_files()
    with sidecar(bench.sink.address) as server:
        return Run({"cold": server.ready_seconds, "warm": warm})


def _forget_files() -> None:
    """Have the system drop what it holds in memory of Python's and the sidecar's files."""
    folders = {Path(sys.prefix), Path(sysconfig.get_path("stdlib")), ROOT / "server"}
    os.sync()
    for folder in folders:
        for path in folder.rglob("*"):
            with suppress(OSError):
                file = os.open(path, os.O_RDONLY)
                try:
                    os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    os.close(file)


BENCHMARKS: Final = (
    Benchmark(
        "start",
        "from the command to SERVING, the queue empty",
        _start,
        (
            Figure("cold", "its files not in memory", "s", at_most=1.0),
            Figure("warm", "its files in memory", "s"),
        ),
    ),
)
