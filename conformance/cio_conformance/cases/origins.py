"""Where cases come from: what users of other connectors and SDKs ran into."""

import re
from collections.abc import Iterable
from typing import Final

from cio_conformance.cases.golden_cases import Golden

THREAD: Final = re.compile(r"[A-Za-z0-9-]+/[A-Za-z0-9._-]+#[0-9]+")
"""A thread on GitHub: ``owner/name#number``."""


def told(goldens: Iterable[Golden]) -> str:
    """How many cases have an origin, and how many name a public thread; empty if none has."""
    origins = [golden.case.origin for golden in goldens if golden.case.origin]
    threads = [origin for origin in origins if THREAD.fullmatch(origin)]
    if not origins:
        return ""
    return (
        f"{len(origins)} cases come from what users of others ran into: {len(threads)} from "
        f"{len({*threads})} public threads, {len(origins) - len(threads)} from common pitfalls"
    )
