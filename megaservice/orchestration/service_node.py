"""Speaks to one service that was registered by hand, for one run: its inputs, the hooks around it, the call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from comps import ServiceOrchestrator as StockOrchestrator
from comps.cores.mega.dag import DAG as RuntimeGraph
from comps.cores.proto.docarray import LLMParams
from pydantic import BaseModel

from megaservice.nodes.base import NodeCall, Output
from megaservice.orchestration.hooks import is_overridden, own_copy
from megaservice.orchestration.llm_parameters import effective_parameters, openai_payload, overlaid, text_in
from megaservice.orchestration.node_state import short_name
from megaservice.orchestration.readiness import BLACK_LIST
from megaservice.orchestration.service_calls import ServiceRequest, ServiceStream
from megaservice.orchestration.service_plan import LANGUAGE_MODELS, ServicePlan, speaks_openai
from megaservice.pipeline.spec import ConsumeMode
from servicekit.context import CallContext
from servicekit.errors import InternalError, InvalidRequestError, ServiceError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target

logger = logging.getLogger(__name__)

#: Fields of a TextDoc in which outputs differ without meaning it.
_NEVER_COUNT = frozenset({"id", BLACK_LIST})

_DECLARE = (
    "A service behind a stream that is no text service must say so: declare its service_type or its output_datatype."
)


@dataclass(frozen=True, slots=True)
class ScheduleCall:
    """One call of `schedule`, as every node of its run sees it.

    Attributes:
        orchestrator: Has the services and the hooks.
        plan: Of its graph.
        http: The process's connection pool.
        graph: The run's own graph; hooks may change it.
        inputs: What the roots get.
        parameters: Of the request.
        kwargs: Handed on to the hooks.
        streams: Whether streamed answers are asked for.
    """

    orchestrator: StockOrchestrator
    plan: ServicePlan
    http: HttpClient
    graph: RuntimeGraph
    inputs: Mapping[str, Any] | BaseModel
    parameters: LLMParams
    kwargs: Mapping[str, Any]
    streams: bool

    def request(self) -> Mapping[str, Any]:
        """Return the inputs as an object, without what was not set."""
        if isinstance(self.inputs, BaseModel):
            return self.inputs.model_dump(exclude_unset=True, exclude_none=True)
        return self.inputs


class ServiceNode:
    """The client of one service in one run.

    Args:
        name: The service's, such as `llm/MicroService`.
        call: The run.
    """

    def __init__(self, name: str, call: ScheduleCall) -> None:
        self.spec = call.plan.specs[name]
        self._name = name
        self._run = call
        self._service = call.orchestrator.services[name]
        self._is_model = self._service.service_type in LANGUAGE_MODELS
        self._sends_openai = False
        self._asked: Mapping[str, Any] = {}

    async def call(self, call: NodeCall) -> Any:  # noqa: ANN401 - `align_outputs` may return anything
        """Ask for the whole output; a service that works piece by piece gets one piece."""
        if self.spec.consume is not ConsumeMode.WHOLE:
            return await self._ask_about(call.nearest_text or "", call.context)
        streams = self._run.streams and not self._is_model
        inputs, parameters = self._aligned_inputs(call, streams=streams)
        data = await self._request(inputs, call.context).fetch()
        return self._aligned_outputs(self._with_text(data), inputs, parameters)

    def open_stream(self, call: NodeCall) -> ServiceStream | None:
        """Return the streamed answer of a language model; other services have none."""
        if not self._is_model:
            return None
        inputs, parameters = self._aligned_inputs(call, streams=True)
        # What comes out at the end of a stream is what JSON mode would have answered, and the hooks are told so.
        finish = self._finisher(inputs, {**parameters, "stream": False})
        return self._request(inputs, call.context).stream(finish)

    def text_of(self, output: object) -> str | None:
        """Return the text in an output, None if there is none."""
        return text_in(output)

    def failure_output(self, error: ServiceError) -> Output:
        """Return the error's body; never asked for, since services registered by hand are hard."""
        return error.body()

    async def problem(self) -> str | None:
        """Return None: nobody asks before the first request."""
        return None

    def _finisher(self, inputs: Any, parameters: dict[str, Any]) -> Callable[[Any], Any]:  # noqa: ANN401
        """Return what makes the output of a stream's whole text: as in JSON mode, where a later node takes it."""

        def finish(whole: Any) -> Any:  # noqa: ANN401 - see `call`
            if not self._run.plan.has_whole_reader(self._name):
                return whole
            if not is_overridden(self._run.orchestrator, "align_outputs"):
                return {**whole, "text": text_in(whole)}
            try:
                return self._aligned_outputs(whole, inputs, parameters)
            except Exception as exc:  # a user's hook may raise anything
                raise _hook_error("align_outputs", self._name, exc) from exc

        return finish

    def _aligned_inputs(self, call: NodeCall, *, streams: bool) -> tuple[Any, dict[str, Any]]:
        run = self._run
        inputs = self._inputs(call)
        parameters = effective_parameters(run.parameters, inputs, streams=streams)
        overridden = is_overridden(run.orchestrator, "align_inputs")
        self._sends_openai = speaks_openai(self._service) and isinstance(inputs, dict) and not overridden
        if self._sends_openai:
            self._asked = inputs
            own = run.parameters if self._is_model else LLMParams()
            return openai_payload(own, inputs, call.request, streams=streams and self._is_model), parameters
        if self._is_model:
            inputs = overlaid(inputs, parameters)
        if overridden:
            inputs = own_copy(inputs)
        aligned = run.orchestrator.align_inputs(inputs, self._name, run.graph, parameters, **run.kwargs)
        return aligned, parameters

    def _inputs(self, call: NodeCall) -> Any:  # noqa: ANN401 - a single upstream may have put out anything
        """Return what the node before put out, or the request at a root; language models get an object."""
        above = [name for name in self._run.graph.predecessors(self._name) if name in call.outputs]
        if above:
            return self._merged(above, call.outputs)
        inputs = self._run.inputs
        if isinstance(inputs, BaseModel):
            return inputs.model_dump(exclude_none=True) if self._is_model else inputs.model_copy(deep=True)
        return dict(inputs)

    def _merged(self, above: list[str], outputs: Mapping[str, Any]) -> Any:  # noqa: ANN401 - see `_inputs`
        plain = {name: _as_object(outputs[name]) for name in above}
        if len(above) == 1 and not isinstance(plain[above[0]], dict) and not self._is_model:
            return plain[above[0]]
        for name, output in plain.items():
            if not isinstance(output, dict):
                found = f"'{short_name(name)}' put out a {type(output).__name__}"
                raise InternalError(f"Node '{short_name(self._name)}': {found}; let align_outputs return a dict.")
        _warn_of_differences(self._name, plain)
        merged: Any = self._run.orchestrator.process_outputs(above, plain)
        return merged

    def _with_text(self, data: Any) -> Any:  # noqa: ANN401 - any answer
        """Return a completion with its text as OPEA's `text`, where the service was asked with OPEA's fields."""
        asked_in_opea = "messages" not in self._asked
        if asked_in_opea and self._sends_openai and isinstance(data, dict) and "choices" in data:
            return {**data, "text": text_in(data)}
        return data

    def _aligned_outputs(self, data: Any, inputs: Any, parameters: dict[str, Any]) -> Any:  # noqa: ANN401
        run = self._run
        return run.orchestrator.align_outputs(data, self._name, inputs, run.graph, parameters, **run.kwargs)

    async def _ask_about(self, text: str, context: CallContext) -> dict[str, Any]:
        request = self._request({"text": text}, context)
        try:
            answer = await request.fetch()
        except InvalidRequestError as exc:
            raise InvalidRequestError(f"{exc.message} (It was sent a sentence as {{'text'}}. {_DECLARE})") from exc
        if not isinstance(answer, dict) or not isinstance(answer.get("text"), str):
            raise UpstreamBadResponseError(
                f"{request.target} was sent a sentence as {{'text'}} and answered none. {_DECLARE}"
            )
        return answer

    def _request(self, inputs: Any, context: CallContext) -> ServiceRequest:  # noqa: ANN401 - whatever a hook made
        payload = inputs.model_dump(exclude_none=True) if isinstance(inputs, BaseModel) else inputs
        model = payload.get("model") if isinstance(payload, dict) else None
        if isinstance(payload, dict) and model is None:
            payload = {key: value for key, value in payload.items() if key != "model"}
        api_key = self._service.api_key_value
        url = self._service.endpoint_path(model if api_key else None)
        is_chat = speaks_openai(self._service)
        target = Target(f"node '{short_name(self._name)}'", url)
        rewrites = is_overridden(self._run.orchestrator, "align_generator")
        return ServiceRequest(self._run.http, target, payload, api_key, context, is_chat, rewrites)


def _as_object(output: Any) -> Any:  # noqa: ANN401 - any output
    return output.model_dump(exclude_none=True) if isinstance(output, BaseModel) else output


def _warn_of_differences(name: str, outputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Log which upstreams give one field different values; the last one wins, in the order of registration."""
    owners: dict[str, str] = {}
    for upstream, output in outputs.items():
        for field, value in output.items():
            first = owners.setdefault(field, upstream)
            if field not in _NEVER_COUNT and outputs[first][field] != value:
                logger.warning("Node '%s': '%s' and '%s' give different '%s'; the last wins.",
                               name, first, upstream, field)  # fmt: skip


def _hook_error(hook: str, name: str, exc: Exception) -> InternalError:
    logger.error("Node '%s': %s raised.", name, hook, exc_info=exc)
    return InternalError(f"Node '{short_name(name)}': {hook} raised {type(exc).__name__}: {exc}")
