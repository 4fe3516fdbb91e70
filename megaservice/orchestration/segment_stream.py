"""A node that works on a stream segment by segment (a guard, text to speech): a stream itself."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import replace

from megaservice.nodes.base import NodeCall, NodeClient, Output, StreamPart
from megaservice.orchestration.segments import Segmenter
from megaservice.orchestration.text_chunks import ChunkWriter
from servicekit.errors import UpstreamBadResponseError


class SegmentStream:
    """Asks a node about each segment of a text, in order, and streams what it answers.

    Args:
        name: The node's.
        client: Speaks to it.
        call: The node's part in the run.
        source: The upstream's name, and its stream.
        segmenter: Cuts the stream.
        chunks: Writes the answer.
    """

    def __init__(
        self,
        name: str,
        client: NodeClient,
        call: NodeCall,
        source: tuple[str, AsyncGenerator[StreamPart]],
        segmenter: Segmenter,
        chunks: ChunkWriter,
    ) -> None:
        self._name = name
        self._client = client
        self._call = call
        self._source_name, self._source = source
        self._segmenter = segmenter
        self._chunks = chunks
        self._texts: list[str] = []

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield the parts of each segment's answer, then those that end it.

        Raises:
            ServiceError: The upstream or the node failed, or no segment had an answer.
        """
        async with aclosing(self._segments()) as segments:
            async for segment in segments:
                text = self._client.text_of(await self._client.call(self._about(segment))) or ""
                if text:  # a guard may drop a sentence
                    self._texts.append(text)
                    for part in self._chunks.parts(text):
                        yield part
        if not self._texts:
            raise UpstreamBadResponseError(f"Node '{self._name}' answered no text.")
        for part in self._chunks.end():
            yield part

    def headers(self) -> Mapping[str, str]:
        """Return no headers."""
        return {}

    def output(self) -> Output:
        """Return the answers about all segments, joined."""
        return {"text": "".join(self._texts)}

    def _about(self, segment: str) -> NodeCall:
        """Return the call in which the segment takes the place of the upstream's whole text."""
        outputs = {**self._call.outputs, self._source_name: {}}
        return replace(self._call, outputs=outputs, texts={**self._call.texts, self._source_name: segment})

    async def _segments(self) -> AsyncGenerator[str]:
        async with aclosing(self._source) as source:
            async for part in source:
                for segment in self._segmenter.feed(part.text):
                    yield segment
        for segment in self._segmenter.end():
            yield segment
