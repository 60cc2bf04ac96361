"""The machine: which cores the processes are pinned to, and what they use of it."""

import os
import platform
import sqlite3
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_CORES: Final = sorted(os.sched_getaffinity(0))

SERVER_CORE: Final = _CORES[0]
"""Where what is measured runs: a sidecar, a server that does nothing, another client."""
SECOND_CORE: Final = _CORES[min(1, len(_CORES) - 1)]
"""Where a second sidecar runs: on a machine of two cores, with everything else."""
LOAD_CORE: Final = _CORES[-1]
"""Where everything else runs."""


def on_core(core: int, *command: str) -> list[str]:
    """A command that runs on one core alone."""
    return ["taskset", "--cpu-list", str(core), *command]


def cpu_seconds(pid: int) -> float:
    """What a process has used so far, all its threads together."""
    # The name in brackets may hold spaces.
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_bytes(pid: int) -> int:
    """What a process holds in memory (RSS)."""
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = [line for line in status if line.startswith("VmRSS:")]
    return int(line.split()[1]) * 1024


@cache
def describe(folder: Path) -> dict[str, str]:
    """What a reader must know of the machine; ``folder`` is where queues are kept."""
    models = {
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    }
    return {
        "processor": ", ".join(sorted(models)) or platform.machine(),
        "cores": str(len(_CORES)),
        "system": f"{platform.system()} {platform.release().partition('-')[0]}",
        "file system": _output("df", "--output=fstype", str(folder)).split()[-1],
        "Python": platform.python_version(),
        "grpcio": version("grpcio"),
        "SQLite": sqlite3.sqlite_version,
    }


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
