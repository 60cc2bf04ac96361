"""Runs ``cio-sidecar`` as a process of its own, as a user would."""

import asyncio
import os
import re
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

_DEADLINE_SECONDS = 60


class Finished(NamedTuple):
    """A process that has ended."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """The JSON lines of its standard output."""
        return [orjson.loads(line) for line in self.out.splitlines()]


async def start(*arguments: str, env: Mapping[str, str] | None = None, **more: Any) -> Process:
    plain = {name: value for name, value in os.environ.items() if not name.startswith("CIO_")}
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "cio_sidecar",
        *arguments,
        env={**plain, **(env or {})},
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        limit=32 * 1024 * 1024,
        **more,
    )


async def run(
    *arguments: str, stdin: bytes = b"", env: Mapping[str, str] | None = None, **more: Any
) -> Finished:
    """Run to the end. No mistake of a user's may show a traceback."""
    process = await start(*arguments, env=env, **more)
    try:
        out, err = await asyncio.wait_for(process.communicate(stdin), _DEADLINE_SECONDS)
    except BaseException:
        process.kill()
        await process.wait()
        raise
    assert process.returncode is not None
    finished = Finished(process.returncode, out.decode(), err.decode())
    assert_no_traceback(finished.out + finished.err)
    return finished


def assert_no_traceback(text: str) -> None:
    assert "Traceback" not in text, text
    assert "Fatal Python error" not in text, text
    assert "never retrieved" not in text, text


async def end_of_input(process: Process) -> tuple[bytes, bytes]:
    """Close a process's standard input; what it still writes until it ends."""
    assert process.stdin is not None
    process.stdin.close()
    return await asyncio.wait_for(process.communicate(), _DEADLINE_SECONDS)


@dataclass
class Serving:
    """A running ``cio-sidecar serve``."""

    process: Process
    address: str = ""
    log: list[str] = field(default_factory=list)
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    async def logged(self, pattern: str) -> re.Match[str]:
        """The first log line that matches, now or later."""
        async with asyncio.timeout(_DEADLINE_SECONDS):
            while True:
                self.news.clear()
                for line in self.log:
                    if match := re.search(pattern, line):
                        return match
                assert not self.ended.is_set(), f"ended without {pattern!r}: {self.log}"
                await self.news.wait()

    async def follow(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log.append(line.decode().rstrip("\n"))
            self.news.set()
        self.ended.set()
        self.news.set()


@asynccontextmanager
async def serving(env: Mapping[str, str], *flags: str) -> AsyncIterator[Serving]:
    """Run ``cio-sidecar serve``; ended by force where the caller did not end it."""
    served = Serving(await start("serve", *flags, env=env))
    following = asyncio.create_task(served.follow())
    try:
        served.address = (await served.logged(r"serving on (\S+),"))[1]
        yield served
    finally:
        if served.process.returncode is None:
            served.process.kill()
        await served.process.wait()
        await following
        await end_of_input(served.process)
    assert_no_traceback("\n".join(served.log))
