"""The ServiceOrchestrator: comps' class, with runs whose streams and failures are right.

Stock's contract stays: `add` chains, `flow_to` returns a bool, `schedule` returns `(result_dict, runtime_graph)` with
keys such as `llm/MicroService`, the `align_*` hooks are called, and a streamed result is a `StreamingResponse` whose
`body_iterator` is read. What differs, and why: docs/drop-in.md.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from functools import partial
from typing import Any

from comps import MicroService
from comps import ServiceOrchestrator as StockOrchestrator
from comps.cores.mega.dag import DAG as RuntimeGraph
from comps.cores.proto.docarray import LLMParams
from pydantic import BaseModel

from megaservice.nodes.base import NodeClient, StreamPart
from megaservice.nodes.factory import make_clients
from megaservice.orchestration.answer import compose_answer
from megaservice.orchestration.answer_stream import (
    MEDIA_TYPE,
    AnswerResponse,
    AnswerStream,
    answer_events,
    plain_events,
)
from megaservice.orchestration.chain_run import ChainRun
from megaservice.orchestration.controlled_run import RunSetup
from megaservice.orchestration.definitions import NodeService
from megaservice.orchestration.errors import ScheduleError
from megaservice.orchestration.hooks import is_overridden
from megaservice.orchestration.llm_parameters import asks_for_stream, text_in
from megaservice.orchestration.observer import MetricsObserver
from megaservice.orchestration.run import PipelineRun
from megaservice.orchestration.service_graph import Edges, edge_problem, runtime_graph
from megaservice.orchestration.service_node import ScheduleCall
from megaservice.orchestration.service_plan import ServicePlan, make_plan
from megaservice.orchestration.services_run import ServicesRun
from megaservice.orchestration.shared_http import release_client, shared_client
from megaservice.orchestration.text_chunks import encode_token
from megaservice.pipeline.chain import is_plain_chain
from megaservice.pipeline.gates import Chance, system_chance
from megaservice.pipeline.pipeline import Pipeline
from servicekit.context import CallContext
from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient
from servicekit.ids import new_id

logger = logging.getLogger(__name__)


class ServiceOrchestrator(StockOrchestrator):  # type: ignore[misc]  # comps has no types
    """Manages the microservices of a DAG: added by hand, as in stock, or from a pipeline file by `for_pipeline`.

    `align_inputs`, `align_outputs` and `align_generator` are stock's and overridden as in stock. The first two run on
    the event loop, so they must be quick; an overridden `align_generator` runs in a thread of its own.

    Connections are pooled. The pool closes with `close`, or else with the event loop.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pipeline: Pipeline | None = None
        self._clients: dict[str, NodeClient] = {}
        self._plans: dict[tuple[object, ...], ServicePlan] = {}
        self._chance = system_chance
        self._make_run: type[PipelineRun | ChainRun] = PipelineRun

    @classmethod
    def for_pipeline(cls, pipeline: Pipeline, http: HttpClient, chance: Chance = system_chance) -> ServiceOrchestrator:
        """Register a definition for each node of a pipeline, and its edges.

        Args:
            pipeline: Checked.
            http: The process's connection pool; must be open when requests come.
            chance: Decides splits that nothing else decides.
        """
        orchestrator = cls()
        services = {name: NodeService(name, pipeline.spec.nodes[name]) for name in pipeline.dag.nodes}
        for service in services.values():
            orchestrator.add(service)
        clients = make_clients(pipeline.spec.nodes, http)
        orchestrator._clients = {name: clients[name] for name in pipeline.dag.nodes}
        for source, target in pipeline.dag.edges:
            orchestrator.flow_to(services[source], services[target])
        orchestrator._pipeline = pipeline
        orchestrator._make_run = ChainRun if is_plain_chain(pipeline) else PipelineRun
        orchestrator._chance = chance
        return orchestrator

    @property
    def clients(self) -> Mapping[str, NodeClient]:
        """The client of each node of a pipeline."""
        return self._clients

    def add_node(self, node_name: str) -> None:
        """Add a node without edges, as comps' graph does; edges will keep their order.

        Raises:
            KeyError: There is one of that name.
        """
        super().add_node(node_name)
        self.graph[node_name] = Edges()

    def flow_to(self, from_service: MicroService, to_service: MicroService) -> bool:
        """Let one service's output go to another; return False, and log why, where that cannot be."""
        source, target = from_service.name, to_service.name
        problem = edge_problem(self.graph, source, target)
        if problem is not None:
            logger.error("flow_to('%s', '%s'): %s", source, target, problem)
            return False
        self.graph[source].add(target)
        return True

    def extract_chunk_str(self, chunk_str: str | bytes) -> str:
        """Return the text of one of OPEA's tokens, as stock does; our streams are bytes, so bytes are taken too."""
        chunk = chunk_str.decode() if isinstance(chunk_str, bytes) else chunk_str
        text: str = super().extract_chunk_str(chunk)
        return text

    async def schedule(
        self,
        initial_inputs: Mapping[str, Any] | BaseModel,
        llm_parameters: LLMParams | None = None,
        **kwargs: Any,
    ) -> tuple[dict[str, Any], RuntimeGraph]:
        """Run one request through the DAG.

        Args:
            initial_inputs: The caller's body; it is not changed. `stream: true` asks for a streamed answer.
            llm_parameters: Those that were set explicitly beat the inputs; the inputs beat the defaults.
            kwargs: `context`, a `CallContext`; all are handed on to the hooks.

        Returns:
            The outputs by service name, and the graph that ran. Streamed: a streaming node's output is a
            `StreamingResponse`; outputs behind it travel in its last chunk.

        Raises:
            ScheduleError: The run failed before its answer began.
        """
        context = kwargs.get("context") or CallContext(new_id("req_"))
        try:
            if self._pipeline is not None:
                return await self._run_pipeline(self._pipeline, initial_inputs, llm_parameters, context)
            return await self._run_services(initial_inputs, llm_parameters or LLMParams(), kwargs, context)
        except ServiceError as exc:
            raise ScheduleError(exc) from exc

    async def answer(self, inputs: Mapping[str, Any], context: CallContext) -> dict[str, Any] | AnswerStream:
        """Run one request through the pipeline and return what the client sees: the composed answer, or the stream.

        Only for an orchestrator made by `for_pipeline`.

        Args:
            inputs: The caller's body, checked; it is not changed. `stream: true` asks for a streamed answer.
            context: Request id, deadline and headers.

        Raises:
            ServiceError: The run failed before its answer began.
        """
        pipeline = self._own_pipeline
        run = self._run(pipeline, inputs, context)
        if inputs.get("stream"):
            return await _streamed(run)
        return compose_answer(pipeline, await run.finish(), run.attempts)

    async def close(self) -> None:
        """Release the connection pool; the last orchestrator of the event loop closes it. Safe to call twice."""
        await release_client(self)

    @property
    def _own_pipeline(self) -> Pipeline:
        assert self._pipeline is not None  # made by for_pipeline  # noqa: S101
        return self._pipeline

    def _run(self, pipeline: Pipeline, inputs: Mapping[str, Any], context: CallContext) -> PipelineRun | ChainRun:
        setup = RunSetup(pipeline, self._clients, inputs, context, self._chance)
        return self._make_run(setup, MetricsObserver(self.metrics))

    async def _run_pipeline(
        self,
        pipeline: Pipeline,
        initial_inputs: Mapping[str, Any] | BaseModel,
        parameters: LLMParams | None,
        context: CallContext,
    ) -> tuple[dict[str, Any], RuntimeGraph]:
        inputs = _with_explicit_parameters(initial_inputs, parameters)
        run = self._run(pipeline, inputs, context)
        if inputs.get("stream"):
            # Whichever node writes the answer: it is under the name of the first that could.
            stream = await _streamed(run)
            response = AnswerResponse(stream, media_type=MEDIA_TYPE, headers=stream.headers)
            results: dict[str, Any] = {self._key(pipeline.answer_node): response}
        else:
            results = {self._key(node): output for node, output in (await run.finish()).items()}
        return results, runtime_graph(self.graph)

    async def _run_services(
        self,
        inputs: Mapping[str, Any] | BaseModel,
        parameters: LLMParams,
        kwargs: Mapping[str, Any],
        context: CallContext,
    ) -> tuple[dict[str, Any], RuntimeGraph]:
        given = inputs.model_dump(exclude_unset=True) if isinstance(inputs, BaseModel) else inputs
        streams = asks_for_stream(parameters, given)
        plan = self._plan(streams=streams)
        http = await shared_client(self)
        call = ScheduleCall(self, plan, http, runtime_graph(self.graph), inputs, parameters, kwargs, streams)
        run = ServicesRun(call, context, MetricsObserver(self.metrics))
        firsts = await run.start()
        results = {name: self._result(run, name, output, streams=streams) for name, output in run.results().items()}
        results.update({name: self._response(run, name, first, kwargs) for name, first in firsts.items()})
        return results, run.result_graph()

    def _plan(self, *, streams: bool) -> ServicePlan:
        """Return the plan of the graph as it is now; comps' graph can be changed in more ways than `flow_to`."""
        key = (streams, *((name, tuple(below)) for name, below in self.graph.items()))
        if key not in self._plans:
            self._plans = {kept: plan for kept, plan in self._plans.items() if kept[1:] == key[1:]}
            self._plans[key] = make_plan(self.services, self.graph, streams=streams)
        return self._plans[key]

    def _response(self, run: ServicesRun, name: str, first: StreamPart, kwargs: Mapping[str, Any]) -> AnswerResponse:
        rewrite = partial(self.align_generator, **kwargs) if is_overridden(self, "align_generator") else None
        events = answer_events(run.events(name, first), partial(run.attachment, name), rewrite)
        return AnswerResponse(AnswerStream(events, partial(run.leave, name)), media_type=MEDIA_TYPE)

    def _result(self, run: ServicesRun, name: str, output: Any, *, streams: bool) -> Any:  # noqa: ANN401 - any output
        """Return a node's output; one that pruned all behind it is the answer, a stream where one was asked for."""
        text = text_in(output)
        if text is None or not streams or not run.was_pruned_away(name):
            return output
        return AnswerResponse(plain_events([encode_token(text)]), media_type=MEDIA_TYPE)

    def _key(self, node: str) -> str:
        return f"{node}/MicroService"


async def _streamed(run: PipelineRun | ChainRun) -> AnswerStream:
    stream, first = await run.start_stream()
    headers = stream.headers() if stream else {}
    relay = run.relay_to if isinstance(run, ChainRun) else None
    return AnswerStream(run.events(first), run.close, relay, headers, run)


def _with_explicit_parameters(inputs: Mapping[str, Any] | BaseModel, parameters: LLMParams | None) -> Mapping[str, Any]:
    """Explicitly set parameters beat inputs, inputs beat defaults; defaults are not sent at all."""
    given = inputs.model_dump(exclude_unset=True, exclude_none=True) if isinstance(inputs, BaseModel) else inputs
    if parameters is None:
        return given
    return {**given, **{name: getattr(parameters, name) for name in parameters.model_fields_set}}
