"""Tries a call again where its error says that it may pass: jittered pauses, never beyond the request's deadline."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from megaservice.nodes.endpoints import Endpoint, EndpointPool
from megaservice.pipeline.spec import RetrySpec
from servicekit.context import CallContext
from servicekit.errors import ServiceError, UpstreamError

ResultType = TypeVar("ResultType")


async def try_endpoints(
    pool: EndpointPool,
    retries: RetrySpec,
    context: CallContext,
    work: Callable[[Endpoint], Awaitable[ResultType]],
    *,
    goes_on: bool = False,
) -> ResultType:
    """Do `work` at an endpoint of the pool, again at the next best one while that may help.

    Args:
        pool: Told who answered and who failed.
        retries: How often, and with which pauses.
        context: Its deadline ends the tries.
        work: One try; counted as one of the endpoint's calls while it runs.
        goes_on: Whether a try that went well is still a call then, as a stream is; the caller ends it.

    Raises:
        ServiceError: The last try's.
    """
    attempt = 1
    while True:
        endpoint = pool.pick()
        endpoint.begin()
        is_over = True
        try:
            result = await work(endpoint)
            is_over = not goes_on
        except ServiceError as exc:
            if isinstance(exc, UpstreamError):
                endpoint.failed()
            pause = _pause_seconds(exc, attempt, retries, context)
            if pause is None:
                raise
        else:
            endpoint.succeeded()
            return result
        finally:
            if is_over:
                endpoint.end()
        await asyncio.sleep(pause)
        attempt += 1


def _pause_seconds(error: ServiceError, attempt: int, retries: RetrySpec, context: CallContext) -> float | None:
    """Return how long to wait before the next try, None if there is none."""
    if not error.retryable or attempt >= retries.attempts:
        return None
    longest = min(retries.base_seconds * 2 ** (attempt - 1), retries.max_seconds)
    # Half to all of it: many clients that failed together must not come back together.
    pause = longest * random.uniform(0.5, 1.0)  # noqa: S311 - no secret
    if error.retry_after_seconds is not None:
        if error.retry_after_seconds > retries.max_seconds:
            return None
        pause = max(pause, error.retry_after_seconds)
    remaining = context.remaining_seconds()
    return None if remaining is not None and pause >= remaining else pause
