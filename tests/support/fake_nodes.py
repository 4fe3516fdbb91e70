"""Node clients that say what a test tells them, so that graphs can be run without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from megaservice.nodes.base import NodeCall, NodeStream, Output, StreamPart
from megaservice.orchestration.readiness import NodeStatus
from megaservice.orchestration.run import PipelineRun
from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import NodeSpec, ServiceKind
from servicekit.context import CallContext
from servicekit.errors import ServiceError, UpstreamError
from servicekit.openai.assembler import ChatAssembler
from servicekit.sse import encode_event

REQUEST: dict[str, Any] = {"messages": [{"role": "user", "content": "hi"}]}


@dataclass
class Play:
    """What one node does.

    Attributes:
        delay_seconds: How long it takes.
        fails: Whether it fails, after the delay.
        fails_after: In a stream, after how many pieces it fails.
        stalls: Whether it never ends.
        stalls_after: In a stream, after how many pieces nothing more comes.
    """

    delay_seconds: float = 0.0
    fails: bool = False
    fails_after: int | None = None
    stalls: bool = False
    stalls_after: int | None = None


@dataclass
class Record:
    """What happened in one run: `start x`, `end x` and `cancel x`, in order, and what each node was told."""

    moments: list[str] = field(default_factory=list)
    calls: dict[str, NodeCall] = field(default_factory=dict)

    @property
    def started(self) -> list[str]:
        """The nodes in the order in which they started; each one is there as often as it was asked."""
        return [moment.removeprefix("start ") for moment in self.moments if moment.startswith("start ")]

    @property
    def open(self) -> set[str]:
        """The nodes that started and neither ended nor were cancelled."""
        ended = {moment.split(" ")[1] for moment in self.moments if not moment.startswith("start ")}
        return set(self.started) - ended


class FakeNode:
    """A node that writes `<name>(<texts of the nodes before it>)`, or a grade of it.

    Args:
        name: The node's name.
        spec: As declared.
        play: What it does.
        record: Where it notes what happens to it.
    """

    def __init__(self, name: str, spec: NodeSpec, play: Play, record: Record) -> None:
        self.spec = spec
        self.name = name
        self._play = play
        self._record = record

    async def call(self, call: NodeCall) -> Output:
        """Take the time, then answer or fail."""
        self._start(call)
        try:
            await self._work()
            if self._play.fails:
                raise self.error()
        except asyncio.CancelledError:
            self._record.moments.append(f"cancel {self.name}")
            raise
        except ServiceError:
            self._record.moments.append(f"end {self.name}")
            raise
        self._record.moments.append(f"end {self.name}")
        return self._output(call)

    def open_stream(self, call: NodeCall) -> NodeStream | None:
        """Stream the same text, a character at a time; graders have no stream."""
        return FakeStream(self, call) if self.spec.service_type is ServiceKind.LLM else None

    def text_of(self, output: Output) -> str | None:
        """Return the text of an LLM's answer."""
        return output["choices"][0]["message"]["content"] if "choices" in output else None

    def failure_output(self, error: ServiceError) -> Output:
        """Return the error's body."""
        return error.body()

    async def problem(self) -> str | None:
        """Return None: it can always answer."""
        return None

    def error(self) -> ServiceError:
        """Return what it fails with."""
        return UpstreamError(f"node '{self.name}' broke")

    def text(self, call: NodeCall) -> str:
        """Return what it writes."""
        return f"{self.name}({','.join(call.texts.values())})"

    async def stream(self, call: NodeCall) -> AsyncGenerator[dict[str, Any]]:
        """Yield the chunks of its answer."""
        self._start(call)
        how = "cancel"
        try:
            await self._work()
            for number, piece in enumerate(self.text(call)):
                if self._play.fails or number == self._play.fails_after:
                    how = "end"
                    raise self.error()
                if number == self._play.stalls_after:
                    await asyncio.Event().wait()
                yield {"id": self.name, "choices": [{"index": 0, "delta": {"content": piece}, "finish_reason": None}]}
            yield {"id": self.name, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
            how = "end"
        finally:
            self._record.moments.append(f"{how} {self.name}")

    def _start(self, call: NodeCall) -> None:
        self._record.moments.append(f"start {self.name}")
        self._record.calls[self.name] = call

    async def _work(self) -> None:
        if self._play.stalls:
            await asyncio.Event().wait()
        await asyncio.sleep(self._play.delay_seconds)

    def _output(self, call: NodeCall) -> Output:
        if self.spec.service_type is ServiceKind.GRADER:
            return {"score": 1.0, "of": self.text(call)}
        message = {"role": "assistant", "content": self.text(call)}
        return {"id": self.name, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


class FakeStream:
    """The streamed answer of a fake node."""

    def __init__(self, node: FakeNode, call: NodeCall) -> None:
        self._node = node
        self._call = call
        self._assembled = ChatAssembler()

    async def parts(self) -> AsyncGenerator[StreamPart]:
        """Yield one part for each chunk."""
        chunks = self._node.stream(self._call)
        try:
            async for chunk in chunks:
                yield StreamPart(encode_event(orjson.dumps(chunk)), self._assembled.add(chunk))
        finally:
            await chunks.aclose()

    def headers(self) -> Mapping[str, str]:
        """Return none."""
        return {}

    def output(self) -> Output:
        """Return the whole answer."""
        return self._assembled.completion()


class CountingObserver:
    """Counts what a run reports.

    Attributes:
        pending: How many runs began and have not ended.
        tokens: How many parts went out.
        ended_with: The statuses of each run that ended.
    """

    def __init__(self) -> None:
        self.pending = 0
        self.tokens = 0
        self.ended_with: list[dict[str, NodeStatus]] = []

    def started(self) -> None:
        """Count a run."""
        self.pending += 1

    def token(self, answer: str = "") -> None:
        """Count a part."""
        self.tokens += 1

    def ended(self, statuses: Mapping[str, NodeStatus]) -> None:
        """Count a run's end."""
        self.pending -= 1
        self.ended_with.append(dict(statuses))


def make_pipeline(flow: Sequence[str], *, soft: Sequence[str] = (), nodes: Sequence[str] = ()) -> Pipeline:
    """Make a pipeline from rules; nodes whose names begin with "grade" are graders, the others LLMs.

    Args:
        flow: Rules such as `a >> b`.
        soft: The nodes whose failure does not fail the request.
        nodes: The order in which nodes are declared; that of the rules if empty.
    """
    words = " ".join(flow).replace("(", " ").replace(")", " ").replace(",", " ").replace(">>", " ")
    names = list(nodes) or list(dict.fromkeys(words.split()))
    declared = [
        f"  {name}: {{endpoint: 'http://x:1/{name}', dependency: {'soft' if name in soft else 'hard'}}}" for name in names
    ]
    rules = [f'    - "{rule}"' for rule in flow]
    text = "\n".join(["opea_micro_services:", *declared, "opea_mega_service:", "  mega_flow:", *rules])
    return parse_pipeline(text, "shape.yaml", {})


def start_run(
    pipeline: Pipeline, plays: Mapping[str, Play], observer: CountingObserver | None = None
) -> tuple[PipelineRun, Record]:
    """Make a run of a pipeline over fake nodes; nodes without a play answer at once."""
    record = Record()
    clients = {
        name: FakeNode(name, spec, plays.get(name, Play()), record) for name, spec in pipeline.spec.nodes.items()
    }
    return PipelineRun(pipeline, clients, REQUEST, CallContext("req_test"), observer or CountingObserver()), record
