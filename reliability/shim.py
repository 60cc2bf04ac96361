"""Makes the disk and the clock of a process misbehave: a preloaded library, and its file."""

import mmap
import os
import shutil
import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Final

SOURCE: Final = Path(__file__).parent / "shims" / "faults.c"
FLAGS: Final = {"fsync": 1, "full": 2, "short": 4, "torn": 8}
"""Faults of the disk: fsync fails, no space is left, writes end halfway (which is legal), or fail
halfway."""
FAULTS: Final = (*FLAGS, "clock")
"""All that the library does."""


def compiler() -> str | None:
    """The C compiler, if there is one."""
    return shutil.which("cc") or shutil.which("gcc")


def possible(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """Of these faults, those that can be done here, and those that lack a C compiler.

    Raises FileNotFoundError where some lack it and CI=true, as nothing may be left out there.
    """
    lacking = [] if compiler() else [name for name in names if name in FAULTS]
    if lacking and os.environ.get("CI") == "true":
        raise FileNotFoundError(f"no C compiler (cc), which {', '.join(lacking)} need: install gcc")
    return [name for name in names if name not in lacking], lacking


class Shim:
    """The library, compiled for this machine, and what it is told."""

    def __init__(self, folder: Path) -> None:
        """Compile it into a folder. Raises FileNotFoundError where there is no C compiler."""
        command = compiler()
        if command is None:
            raise FileNotFoundError("no C compiler (cc): the faults of disk and clock need one")
        library, control = folder / "faults.so", folder / "control"
        subprocess.run(  # noqa: S603 (names of our own)
            [command, "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True
        )
        control.write_bytes(bytes(16))
        with control.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), 16)
        self.environment = {"LD_PRELOAD": str(library), "RELIABILITY_CONTROL": str(control)}

    def set(self, *, disk: str | None = None, clock_seconds: int = 0) -> None:
        """What is wrong from now on: a key of FLAGS or None; how far the clock is off."""
        struct.pack_into("=qq", self._map, 0, FLAGS.get(disk or "", 0), clock_seconds)
