"""Speaks to an OPEA service that takes and gives a TextDoc: `{"text": ...}` -> `{"text": ...}`."""

from __future__ import annotations

from megaservice.nodes.base import NodeCall, Output
from megaservice.nodes.json_service import JsonService
from megaservice.nodes.text_output import TextOutputNode
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import HttpClient
from servicekit.openai.chat import last_user_text


class TextNode(TextOutputNode):
    """The client of one text-to-text service, such as a guard.

    Without declared inputs, its text is what the node before wrote, else the last user message.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
        http: The process's connection pool.
    """

    def __init__(self, name: str, spec: NodeSpec, http: HttpClient) -> None:
        super().__init__(name, spec)
        self._service = JsonService(name, spec, http)

    async def call(self, call: NodeCall) -> Output:
        """Ask for the text; see `NodeClient.call`."""
        answer = await self._service.post(self.payload(call), call.context)
        output = self._outputs.mapped(answer, ("text", "downstream_black_list"))
        if not isinstance(output.get("text"), str):
            raise UpstreamBadResponseError(f"{self._service.target} answered 200 without a 'text'; is it a TextDoc?")
        return output

    def payload(self, call: NodeCall) -> Output:
        """Build the request's body: the pipeline's parameters, the text, the declared inputs."""
        text = call.nearest_text
        if text is None:
            text = last_user_text(call.request.get("messages", []))
        return {**self.spec.parameters, "text": text, **self._inputs.values(call)}
