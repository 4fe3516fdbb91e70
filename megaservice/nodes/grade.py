"""Speaks to a grader: `{source, candidate, reference?, criteria?}` -> `{score, feedback, model, usage}`."""

from __future__ import annotations

from megaservice.nodes.base import NodeCall, Output
from megaservice.nodes.inputs import DeclaredInputs
from megaservice.nodes.json_service import JsonService
from megaservice.pipeline.output_mapping import OutputMapping
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.http.client import HttpClient
from servicekit.openai.chat import last_user_text


class GradeNode:
    """The client of one grader.

    Without declared inputs, the source is the last user message and the candidate what the node before wrote.

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
        """Ask for the grade; see `NodeClient.call`."""
        answer = await self._service.post(self.payload(call), call.context)
        output = self._outputs.mapped(answer)
        grade = answer | output  # a mapping may find the score where another kind of grader has it
        if "score" not in grade:
            raise UpstreamBadResponseError(f"{self._service.target} answered 200 without a 'score'; is it a grader?")
        score = grade["score"]
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if score is not None and not (is_number and 0 <= score <= 1):
            found = f"answered the score {score!r}; 0 to 1 or null was expected"
            raise UpstreamBadResponseError(f"{self._service.target} {found}.")
        return output

    def open_stream(self, _call: NodeCall) -> None:
        """Return None: a grade is one JSON object."""
        return

    def text_of(self, _output: Output) -> str | None:
        """Return None: a grade is no text for the answer."""
        return None

    def failure_output(self, error: ServiceError) -> Output:
        """Return a null grade with the reason (decision 0, question 5)."""
        return {"score": None, "feedback": error.message, "error": {"code": error.code}}

    def payload(self, call: NodeCall) -> Output:
        """Build the request's body: the pipeline's parameters and the declared inputs."""
        defaults = {
            "source": last_user_text(call.request.get("messages", [])),
            "candidate": call.nearest_text or "",
        }
        return {**self.spec.parameters, **defaults, **self._inputs.values(call)}
