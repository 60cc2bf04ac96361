"""Turns the answer that a request would get into the one that a scenario's step asks for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from cio_fake.http_messages import UNANSWERED, Response, encode
from cio_fake.scenario import Step

Usual = Callable[[frozenset[int]], tuple[Response, int]]
"""Takes a request, but for the operations at these places; the answer, and how many were taken."""
_ALL: frozenset[int] = frozenset()

_PAGE = b"<!DOCTYPE html>\n<html><body><h1>Bad Gateway</h1></body></html>\n"
_CUT = {"after": UNANSWERED, "headers": 0}


def answer(
    step: Step | None, usual: Usual, operations: Sequence[dict[str, Any]]
) -> tuple[Response, int]:
    """The answer to a request, and how many of its operations were taken.

    `usual` is called where the step has the request taken, and not where it has not.
    """
    if step is None:
        return usual(_ALL)
    response, taken = _answer(step, usual, operations)
    return replace(response, delay_seconds=step.delay_ms / 1000), taken


def _answer(step: Step, usual: Usual, operations: Sequence[dict[str, Any]]) -> tuple[Response, int]:
    if step.malformed == "html":
        return Response(step.status or 502, _PAGE, content_type="text/html"), 0
    if step.malformed == "json":
        return Response(step.status or 207, b'{"errors": ['), usual(_ALL)[1]
    if step.malformed == "indexes":
        error = {"reason": "invalid", "field": "", "message": "there is no such item"}
        errors = [{"batch_index": len(operations), **error}]
        return Response(207, encode({"errors": errors})), usual(_ALL)[1]
    if step.status is not None:
        headers = {} if step.retry_after is None else {"Retry-After": str(step.retry_after)}
        body = encode({"meta": {"error": "failing, as told to"}})
        return Response(step.status, b"" if step.status in (204, 304) else body, headers), 0
    if step.cut == "before":
        return Response(0, b"", cut_after=UNANSWERED), 0
    rejected = frozenset(
        place
        for place, operation in enumerate(operations)
        if any(which.meets(operation, place) for which in step.reject)
    )
    response, taken = usual(rejected)
    if step.cut is not None:
        response = replace(response, cut_after=_CUT[step.cut])
    elif step.truncate is not None:
        response = replace(response, cut_after=step.truncate)
    return response, taken
