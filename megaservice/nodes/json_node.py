"""Speaks to any service that takes a JSON object and answers one: an embedding, a retriever, a reranker, ..."""

from __future__ import annotations

from megaservice.nodes.base import NodeCall, Output
from megaservice.nodes.inputs import DeclaredInputs
from megaservice.nodes.json_service import JsonService
from megaservice.pipeline.output_mapping import OutputMapping
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient
from servicekit.openai.chat import last_user_text


class JsonNode:
    """The client of one service whose answer is data for other nodes, and no text of the answer.

    The fields that it takes are the pipeline's `inputs`, the fields that it gives are its `outputs`: what OPEA's
    ChatQnA does by hand in `align_inputs` and `align_outputs`.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
        http: The process's connection pool.
    """

    def __init__(self, name: str, spec: NodeSpec, http: HttpClient) -> None:
        self.spec = spec
        self._service = JsonService(name, spec, http)
        self._inputs = DeclaredInputs(spec.inputs, name)
        self._outputs = OutputMapping(spec.outputs, name)

    async def call(self, call: NodeCall) -> Output:
        """Ask for the object; see `NodeClient.call`."""
        answer = await self._service.post(self.payload(call), call.context)
        return self._outputs.mapped(answer, ("downstream_black_list",))

    def open_stream(self, _call: NodeCall) -> None:
        """Return None: the output is one object."""
        return

    def text_of(self, _output: Output) -> str | None:
        """Return None: whatever the object has, it is no text for the answer."""
        return None

    def failure_output(self, error: ServiceError) -> Output:
        """Return the error's body: what is attached in place of an output."""
        return error.body()

    def payload(self, call: NodeCall) -> Output:
        """Build the request's body: the pipeline's parameters and the declared inputs; a TextDoc without any."""
        values = self._inputs.values(call)
        if not values:
            text = call.nearest_text
            values = {"text": last_user_text(call.request.get("messages", [])) if text is None else text}
        return {**self.spec.parameters, **values}
