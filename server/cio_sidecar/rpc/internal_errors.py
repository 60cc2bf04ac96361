"""Ends a call by INTERNAL where its method fails in a way that nobody has foreseen.

gRPC would log the error with a traceback, and tell it to the caller: it may hold a person's data.
"""

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from cio_sidecar.rpc.error_status import abort_internal

log = logging.getLogger(__name__)

Context = grpc.aio.ServicerContext[Any, Any]


def unary(method: Callable[[Any, Context], Awaitable[Any]]) -> Callable[[Any, Context], Any]:
    """A method that answers once, guarded."""

    async def guarded(request: Any, context: Context) -> Any:
        try:
            try:
                return await method(request, context)
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await _abort(error, context)
        except grpc.aio.AbortError as error:
            del request
            raise _without_frames(error) from None

    return guarded


def stream(
    method: Callable[[Any, Context], AsyncIterator[Any]],
) -> Callable[[Any, Context], AsyncIterator[Any]]:
    """A method that answers with a stream, guarded."""

    async def guarded(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            try:
                responses: Any = method(request, context)
                async with aclosing(responses):
                    async for response in responses:
                        yield response
            except grpc.aio.AbortError:
                raise
            except Exception as error:
                await _abort(error, context)
        except grpc.aio.AbortError as error:
            del request, responses
            raise _without_frames(error) from None

    return guarded


def _without_frames(error: grpc.aio.AbortError) -> grpc.aio.AbortError:
    """The error of an aborted call, without what was under way.

    gRPC keeps it, and it keeps the call: a cycle, in which its traceback would hold a request of
    megabytes until the garbage collector has seen thousands of other objects.
    """
    error.__context__ = None
    return error.with_traceback(None)


async def _abort(error: Exception, context: Context) -> NoReturn:
    place = traceback.extract_tb(error.__traceback__)[-1]
    where = f"{type(error).__name__} in {place.name}, line {place.lineno}"
    log.error("a call failed: %s; please report it", where)
    await abort_internal(context, f"the sidecar failed ({where}): please report it")
