"""A node that is asked again: other endpoints, pauses between tries, a limit on calls, a fallback node."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping, Sequence

from megaservice.nodes.base import NodeCall, NodeClient, NodeStream, Output, StreamPart
from megaservice.nodes.endpoints import Endpoint, EndpointPool
from megaservice.nodes.limiter import Limiter
from megaservice.nodes.retrying import try_endpoints
from megaservice.pipeline.spec import STREAMING, NodeSpec
from servicekit.errors import OverloadedError, RateLimitedError, ServiceError, UpstreamBadResponseError, UpstreamError
from servicekit.http.response import Sink

#: What another node may do better.
_FALLBACK_ERRORS = (UpstreamError, RateLimitedError, OverloadedError)


class ResilientNode:
    """One node of a pipeline, with all that its spec says about failures.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
        clients: One for each endpoint.
        fallback: Asked when this node has failed for good.
    """

    def __init__(
        self, name: str, spec: NodeSpec, clients: Sequence[NodeClient], fallback: NodeClient | None = None
    ) -> None:
        self.spec = spec
        self._first_client = clients[0]
        self.pool = EndpointPool(clients)
        self.limiter = Limiter(name, spec.concurrency)
        self.fallback = fallback

    def call(self, call: NodeCall) -> Coroutine[None, None, Output]:
        """Ask for the whole output; see `NodeClient.call`."""
        if self.limiter.is_unlimited and self.fallback is None:
            return self._tried(call)  # nothing to add, and so no coroutine around it
        return self._placed(call)

    async def _placed(self, call: NodeCall) -> Output:
        """Ask when there is a place for the call, and the fallback if that fails."""
        try:
            async with self.limiter.place(call.context):
                return await self._tried(call)
        except _FALLBACK_ERRORS:
            if self.fallback is None:
                raise
            return await self.fallback.call(call)

    def _tried(self, call: NodeCall) -> Coroutine[None, None, Output]:
        return try_endpoints(self.pool, self.spec.retries, call.context, lambda endpoint: endpoint.client.call(call))

    def open_stream(self, call: NodeCall) -> NodeStream | None:
        """Return a stream that may try several endpoints until the first part came."""
        return _ResilientStream(self, call) if self.spec.service_type in STREAMING else None

    def text_of(self, output: Output) -> str | None:
        """Return the text in an output."""
        return self._first_client.text_of(output)

    def failure_output(self, error: ServiceError) -> Output:
        """Return what is attached when this node is soft and failed."""
        return self._first_client.failure_output(error)


class _ResilientStream:
    """A stream whose first part may come from any endpoint, or from the fallback."""

    def __init__(self, node: ResilientNode, call: NodeCall) -> None:
        self._node = node
        self._call = call
        self._stream: NodeStream | None = None
        self._parts: AsyncGenerator[StreamPart] | None = None
        self._endpoint: Endpoint | None = None
        self._has_place = False

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield the parts of the stream that answered; see `NodeStream.parts`."""
        try:
            yield await self._first()
            assert self._parts is not None  # _first set it  # noqa: S101
            try:
                async for part in self._parts:
                    yield part
            except UpstreamError:
                if self._endpoint is not None:
                    self._endpoint.failed()
                raise
        finally:
            await self._leave()

    def relay_to(self, sink: Sink, taken: Callable[[], None]) -> None:
        """Offer parts to a sink, see `NodeStream`; after the first part, when it is known which stream answers."""
        relay = getattr(self._stream, "relay_to", None)
        if relay is not None:
            relay(sink, taken)

    def headers(self) -> Mapping[str, str]:
        """Return the headers of the stream that answered."""
        return self._stream.headers() if self._stream else {}

    def output(self) -> Output:
        """Return the output of the stream that answered."""
        assert self._stream is not None  # asked for after the last part  # noqa: S101
        return self._stream.output()

    async def _first(self) -> StreamPart:
        """Return the first part; what the rest of the stream needs is held until `_leave`."""
        node, context = self._node, self._call.context
        try:
            await node.limiter.acquire(context)
            self._has_place = True
            return await try_endpoints(node.pool, node.spec.retries, context, self._open_at, goes_on=True)
        except _FALLBACK_ERRORS:
            await self._leave()
            if node.fallback is None:
                raise
            return await self._open(node.fallback)

    async def _open_at(self, endpoint: Endpoint) -> StreamPart:
        try:
            first = await self._open(endpoint.client)
        except BaseException:
            await self._close_parts()
            raise
        self._endpoint = endpoint
        return first

    async def _open(self, client: NodeClient) -> StreamPart:
        stream = client.open_stream(self._call)
        if stream is None:
            raise UpstreamBadResponseError("The fallback node has no stream; name one of the same kind.")
        self._stream = stream
        self._parts = stream.parts()
        return await anext(self._parts)

    async def _leave(self) -> None:
        try:
            await self._leave_endpoint()
        finally:  # a place that is never given back would be missing for good
            if self._has_place:
                self._has_place = False
                self._node.limiter.release()

    async def _leave_endpoint(self) -> None:
        endpoint, self._endpoint = self._endpoint, None
        try:
            await self._close_parts()
        finally:
            if endpoint is not None:
                endpoint.end()

    async def _close_parts(self) -> None:
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.aclose()
