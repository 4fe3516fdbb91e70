"""Node clients that say what a test tells them, so that graphs can be run without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson
import yaml

from megaservice.nodes.base import NodeCall, NodeClient, NodeStream, Output, StreamPart
from megaservice.nodes.guard import GuardNode
from megaservice.nodes.select import SelectNode
from megaservice.orchestration.controlled_run import RunSetup
from megaservice.orchestration.readiness import NodeStatus
from megaservice.orchestration.run import PipelineRun
from megaservice.pipeline.control import RULES, names_in_rule
from megaservice.pipeline.gates import Chance, system_chance
from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import STREAMING, NodeSpec, ServiceKind
from servicekit.context import CallContext
from servicekit.errors import ServiceError, UpstreamError
from servicekit.http.client import HttpClient
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
        scores: What a grader says, one for each time it is asked; the last one counts on.
        fails_in_attempt: In which attempt of a loop it fails.
        stalls_in_attempt: In which attempt of a loop it never ends.
        says: What a text-producing node writes, in place of the usual.
    """

    delay_seconds: float = 0.0
    fails: bool = False
    fails_after: int | None = None
    stalls: bool = False
    stalls_after: int | None = None
    scores: Sequence[float | None] = (1.0,)
    fails_in_attempt: int | None = None
    stalls_in_attempt: int | None = None
    says: str | None = None


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
    """A node that writes `<name>(<texts of the nodes before it>)`, or a grade of it; in a loop, `<name><attempt>(...)`.

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
        self._grades = 0

    async def call(self, call: NodeCall) -> Output:
        """Take the time, then answer or fail."""
        self._start(call)
        try:
            await self._work(call)
            if self._fails(call):
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
        return FakeStream(self, call) if self.spec.service_type in STREAMING else None

    def text_of(self, output: Output) -> str | None:
        """Return the text of an LLM's answer, or of a text node's."""
        return output["choices"][0]["message"]["content"] if "choices" in output else output.get("text")

    def failure_output(self, error: ServiceError) -> Output:
        """Return the error's body."""
        return error.body()

    def error(self) -> ServiceError:
        """Return what it fails with."""
        return UpstreamError(f"node '{self.name}' broke")

    def text(self, call: NodeCall) -> str:
        """Return what it writes."""
        if self._play.says is not None:
            return self._play.says
        return f"{self.name}{call.loop.get('attempt', '')}({','.join(call.texts.values())})"

    def _fails(self, call: NodeCall) -> bool:
        return self._play.fails or _attempt(call) == self._play.fails_in_attempt

    async def stream(self, call: NodeCall) -> AsyncGenerator[dict[str, Any]]:
        """Yield the chunks of its answer."""
        self._start(call)
        how = "cancel"
        try:
            await self._work(call)
            for number, piece in enumerate(self.text(call)):
                if self._fails(call) or number == self._play.fails_after:
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

    async def _work(self, call: NodeCall) -> None:
        if self._play.stalls or _attempt(call) == self._play.stalls_in_attempt:
            await asyncio.Event().wait()
        await asyncio.sleep(self._play.delay_seconds)

    def _output(self, call: NodeCall) -> Output:
        if self.spec.service_type is ServiceKind.GRADER:
            self._grades += 1
            scores = self._play.scores
            return {"score": scores[min(self._grades, len(scores)) - 1], "of": self.text(call)}
        if self.spec.service_type is ServiceKind.TEXT:
            return {"text": self.text(call)}
        message = {"role": "assistant", "content": self.text(call)}
        return {"id": self.name, "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def _attempt(call: NodeCall) -> object:
    return call.loop.get("attempt", "none")


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


def make_pipeline(
    flow: Sequence[str | Mapping[str, Any]],
    *,
    soft: Sequence[str] = (),
    nodes: Sequence[str] = (),
    fields: Mapping[str, Mapping[str, Any]] = MappingProxyType({}),
) -> Pipeline:
    """Make a pipeline from rules; nodes whose names begin with "grade" are graders, the others LLMs.

    Args:
        flow: Rules such as `a >> b`, or mappings.
        soft: The nodes whose failure does not fail the request.
        nodes: The order in which nodes are declared; that of the rules if empty.
        fields: What is declared of nodes beside endpoint and dependency; a `select` and a `guard` get no endpoint.
    """
    names = list(nodes) or list(dict.fromkeys(name for rule in flow for name in _names(rule)))
    declared: dict[str, dict[str, Any]] = {}
    for name in names:
        given = dict(fields.get(name, {}))
        if given.get("service_type") not in ("guard", "select"):
            given.setdefault("endpoint", f"http://x:1/{name}")
        declared[name] = {"dependency": "soft" if name in soft else "hard", **given}
    document = {"opea_micro_services": declared, "opea_mega_service": {"mega_flow": list(flow)}}
    return parse_pipeline(yaml.safe_dump(document, sort_keys=False), "shape.yaml", {})


def _names(rule: str | Mapping[str, Any]) -> list[str]:
    if isinstance(rule, str):
        return rule.replace("(", " ").replace(")", " ").replace(",", " ").replace(">>", " ").split()
    kind = next(model for key, model in RULES.items() if key in rule)
    return list(names_in_rule(kind.model_validate(rule)))


def start_run(
    pipeline: Pipeline,
    plays: Mapping[str, Play],
    observer: CountingObserver | None = None,
    *,
    request: Mapping[str, Any] | None = None,
    chance: Chance = system_chance,
) -> tuple[PipelineRun, Record]:
    """Make a run of a pipeline over fake nodes; nodes without a play answer at once, built-in ones are themselves."""
    record = Record()
    setup = RunSetup(
        pipeline,
        {name: _client(name, spec, plays.get(name, Play()), record) for name, spec in pipeline.spec.nodes.items()},
        {**REQUEST, **(request or {})},
        CallContext("req_test"),
        chance,
    )
    return PipelineRun(setup, observer or CountingObserver()), record


def _client(name: str, spec: NodeSpec, play: Play, record: Record) -> NodeClient:
    if spec.service_type is ServiceKind.SELECT:
        return SelectNode(name, spec)
    if spec.service_type is ServiceKind.GUARD:
        return GuardNode(name, spec, HttpClient())
    return FakeNode(name, spec, play, record)
