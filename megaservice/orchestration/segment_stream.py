"""A node that works on a stream segment by segment (a guard, text to speech): a stream itself.

Where a guard cuts, the stream before it is closed at once, and what the guard says ends the answer.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing

from megaservice.nodes.base import NodeCall, NodeClient, Output, StreamPart
from megaservice.orchestration.segments import Segmenter
from megaservice.orchestration.text_chunks import ChunkWriter
from servicekit.errors import UpstreamBadResponseError

#: What a guard says beside the text.
_VERDICT = ("action", "finish_reason", "downstream_black_list")


class SegmentStream:
    """Asks a node about each segment of a text, in order, and streams what it answers.

    Args:
        name: The node's.
        client: Speaks to it.
        call: The node's part in the run.
        source: The upstream's name, and its stream.
        segmenter: Cuts the stream.
        writer: Makes what writes the answer, when its first part is there.
    """

    def __init__(
        self,
        name: str,
        client: NodeClient,
        call: NodeCall,
        source: tuple[str, AsyncGenerator[StreamPart]],
        segmenter: Segmenter,
        writer: Callable[[], ChunkWriter],
    ) -> None:
        self._name = name
        self._client = client
        self._call = call
        self._source_name, self._source = source
        self._segmenter = segmenter
        self._writer = writer
        self._texts: list[str] = []
        self._verdict: Output = {}

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield the parts of each segment's answer, then those that end it.

        Raises:
            ServiceError: The upstream or the node failed, or no segment had an answer.
        """
        chunks: ChunkWriter | None = None
        last_words = ""
        async with aclosing(self._segments()) as segments:
            async for segment in segments:
                output = await self._client.call(self._about(segment))
                text = self._client.text_of(output) or ""
                chunks = chunks or self._writer()
                if self._judged(output):
                    last_words = text
                    break
                if text:  # a service may drop a sentence
                    self._texts.append(text)
                    for part in chunks.parts(text):
                        yield part
        if last_words:
            for part in chunks.parts(self._appended(last_words)) if chunks else ():
                yield part
        if not self._texts and not self._is_cut:
            raise UpstreamBadResponseError(f"Node '{self._name}' answered no text.")
        for part in (chunks or self._writer()).end("content_filter" if self._is_cut else "stop"):
            yield part

    def headers(self) -> Mapping[str, str]:
        """Return no headers."""
        return {}

    def output(self) -> Output:
        """Return the answers about all segments, joined, and a guard's verdict."""
        return {"text": "".join(self._texts), **self._verdict}

    @property
    def _is_cut(self) -> bool:
        return self._verdict.get("action") == "cut"

    def _judged(self, output: Output) -> bool:
        """Note a guard's verdict about a segment; return whether it ends the answer."""
        # A sentence that is let through does not unsay what was said about one before it.
        if "action" in output and (output["action"] != "passed" or not self._verdict):
            self._verdict = {key: output[key] for key in _VERDICT if key in output}
        return self._is_cut

    def _appended(self, text: str) -> str:
        """Return a guard's last words as they follow what was let through."""
        spaced = f" {text}" if self._texts and not text[0].isspace() else text
        self._texts.append(spaced)
        return spaced

    def _about(self, segment: str) -> NodeCall:
        """Return the call in which the segment takes the place of the upstream's whole text."""
        outputs = {**self._call.outputs, self._source_name: {}}
        return self._call._replace(outputs=outputs, texts={**self._call.texts, self._source_name: segment})

    async def _segments(self) -> AsyncGenerator[str]:
        async with aclosing(self._source) as source:
            async for part in source:
                for segment in self._segmenter.feed(part.text):
                    yield segment
        for segment in self._segmenter.end():
            yield segment
