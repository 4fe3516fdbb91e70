"""Speaks to a grader: `{source, candidate, reference?, criteria?}` -> `{score, feedback, model, usage}`."""

from __future__ import annotations

import jmespath
import orjson

from megaservice.nodes.base import NodeCall, Output, bounded
from megaservice.nodes.readiness import probe
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.http.client import HttpClient, Target
from servicekit.http.upstream_errors import error_from_answer
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
        self._http = http
        self._target = Target(f"node '{name}'", spec.endpoint)
        self._inputs = {field: jmespath.compile(text) for field, text in spec.inputs.items()}

    async def call(self, call: NodeCall) -> Output:
        """Ask for the grade; see `NodeClient.call`."""
        response, body = await self._http.fetch(
            "POST",
            self._target,
            body=orjson.dumps(self.payload(call)),
            headers={"content-type": "application/json", **call.context.headers()},
            timeouts=bounded(self.spec.timeouts, call.context),
        )
        if response.status != 200:
            raise error_from_answer(self._target, response.status, response.headers, body)
        return self._checked(body)

    def open_stream(self, _call: NodeCall) -> None:
        """Return None: a grade is one JSON object."""
        return

    def text_of(self, _output: Output) -> str | None:
        """Return None: a grade is no text for the answer."""
        return None

    def failure_output(self, error: ServiceError) -> Output:
        """Return a null grade with the reason (architecture, settled question 5)."""
        return {"score": None, "feedback": error.message, "error": {"code": error.code}}

    async def problem(self) -> str | None:
        """Return why the node cannot answer now, or None."""
        return await probe(self._http, self._target)

    def payload(self, call: NodeCall) -> Output:
        """Build the request's body: the pipeline's parameters and the declared inputs."""
        defaults = {
            "source": last_user_text(call.request.get("messages", [])),
            "candidate": call.nearest_text or "",
        }
        scope = call.scope()
        declared = {field: expression.search(scope) for field, expression in self._inputs.items()}
        return {**self.spec.parameters, **defaults, **declared}

    def _checked(self, body: bytes) -> Output:
        try:
            grade = orjson.loads(body)
        except orjson.JSONDecodeError as exc:
            raise UpstreamBadResponseError(f"{self._target} answered broken JSON: {exc.msg}.") from exc
        if not isinstance(grade, dict) or "score" not in grade:
            raise UpstreamBadResponseError(f"{self._target} answered 200 without a 'score'; is it a grader?")
        score = grade["score"]
        is_number = isinstance(score, int | float) and not isinstance(score, bool)
        if score is not None and not (is_number and 0 <= score <= 1):
            raise UpstreamBadResponseError(f"{self._target} answered the score {score!r}; 0 to 1 or null was expected.")
        return dict(grade)
