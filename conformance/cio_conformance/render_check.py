"""Checks the cases that gRPC's typed messages can't hold, through ``cio-sidecar render``."""

import json
import os
import subprocess
import time
from collections.abc import Sequence
from typing import Any, Final

from cio_conformance.caller import TargetError
from cio_conformance.compare import Window
from cio_conformance.fixtures import Golden
from cio_conformance.result import Result, Setup
from cio_conformance.target import command, without_settings
from cio_conformance.verdict import ACCEPTED, REFUSED, Answer, Arrival, judge, sides

_SECONDS: Final = 60
_EXIT_CODES: Final = (0, 1)
"""All events rendered; some refused."""


def check_rendered(goldens: Sequence[Golden], setup: Setup) -> list[Result]:
    """Render the events of cases, all at once, and judge each. Raises TargetError."""
    if not goldens:
        return []
    start = time.time()
    # Not orjson: it would write NaN as null, and nests less deep.
    events = "".join(f"{json.dumps(golden.case.event)}\n" for golden in goldens)
    arguments = ["render", "--profile", setup.profile, "--api", setup.golden_api]
    if setup.overlay:
        arguments += ["--overlay", str(setup.overlay)]
    for name, value in setup.settings:
        arguments += [f"--{name.replace('_', '-')}", value]
    shown = f"cio-sidecar {' '.join(arguments)}"
    try:
        process = subprocess.run(  # noqa: S603
            command(*arguments),
            input=events.encode(),
            capture_output=True,
            env=without_settings(os.environ),
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise TargetError(f"{shown}: did not end within {_SECONDS} s") from None
    window = Window(start, time.time())
    # All are rendered by one process: of its time each case has the same share.
    share = (window.end - window.start) / len(goldens)
    lines = process.stdout.splitlines()
    if process.returncode not in _EXIT_CODES or len(lines) != len(goldens):
        said = process.stderr.decode("utf-8", "replace").strip()[-2000:] or "nothing"
        raise TargetError(
            f"{shown}: expected {len(goldens)} lines and exit code 0 or 1, got {len(lines)} lines "
            f"and {process.returncode}; it said:\n{said}"
        )
    return [
        _result(golden, setup, line, window, share)
        for golden, line in zip(goldens, lines, strict=True)
    ]


def _result(golden: Golden, setup: Setup, line: bytes, window: Window, seconds: float) -> Result:
    try:
        answer, arrivals = _read(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError):
        shown = line[:500].decode("utf-8", "replace")
        message = f'expected {{"requests", "warnings"}} or {{"error"}}, got {shown}'
        return Result(golden, setup, "failed", message, seconds)
    came = (golden.case, setup.golden_api, answer, arrivals, window)
    if problems := judge(*came):
        return Result(golden, setup, "failed", "\n".join(problems), seconds, *sides(*came))
    return Result(golden, setup, "passed", duration_seconds=seconds)


def _read(rendered: dict[str, Any]) -> tuple[Answer, list[Arrival]]:
    if "error" in rendered:
        violations = [
            (violation["field"], violation["reason"], violation["description"])
            for violation in rendered["error"]["violations"]
        ]
        return Answer(REFUSED, violations=violations), []
    warnings = [warning["field"] for warning in rendered["warnings"]]
    requests = [
        {key: request[key] for key in ("method", "path", "body")}
        for request in rendered["requests"]
    ]
    return Answer(ACCEPTED, warnings=warnings), [Arrival(request) for request in requests]
