"""A guard: lets a text through, changes it, or cuts it off; by expressions of its own, or asking an OPEA guardrail.

What it answers: `{"text", "action": "passed" | "replaced" | "cut"}`. A cut also keeps every node behind it from
running (`downstream_black_list`), and is the answer's `finish_reason: content_filter`.
"""

from __future__ import annotations

from typing import Any

from megaservice.nodes.base import NodeCall, Output
from megaservice.nodes.json_service import JsonService
from megaservice.nodes.text_output import TextOutputNode
from megaservice.pipeline.deny_list import DenyList
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import UpstreamBadResponseError
from servicekit.http.client import HttpClient
from servicekit.openai.chat import last_user_text

#: What a guard's output needs for the run to go on.
_KEPT = ("text", "action", "finish_reason", "downstream_black_list")


class GuardNode(TextOutputNode):
    """The guard of one node, and the client of its service where it has one.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
        http: The process's connection pool.
    """

    def __init__(self, name: str, spec: NodeSpec, http: HttpClient) -> None:
        super().__init__(name, spec)
        self._service = JsonService(name, spec, http) if spec.endpoint else None
        self._denied = DenyList(spec.deny)

    async def call(self, call: NodeCall) -> Output:
        """Judge the text; see `NodeClient.call`. A service that fails lets nothing through."""
        given = {"text": _text(call), **self._inputs.values(call)}
        text = given["text"] if isinstance(given["text"], str) else ""
        if self._denied.denies(text):
            judged = self._denial(text, "")
        elif self._service is None or not text.strip():
            judged = _passed(text)
        else:
            judged = self._judged(text, await self._service.post({**self.spec.parameters, **given}, call.context))
        return self._outputs.mapped(judged, _KEPT)

    def _judged(self, text: str, answer: Output) -> Output:
        """Read an OPEA guardrail's answer: a black list or an empty text is a denial."""
        assert self._service is not None  # it has answered  # noqa: S101
        said = answer.get("text")
        if answer.get("downstream_black_list"):
            return self._denial(text, said if isinstance(said, str) else "")
        if not isinstance(said, str):
            raise UpstreamBadResponseError(f"{self._service.target} answered 200 without a 'text'; is it a guardrail?")
        if not said.strip():
            return self._denial(text, "")
        # Services strip what they are given; the white space between two sentences must not be lost.
        return _passed(text if said.strip() == text.strip() else said)

    def _denial(self, text: str, said: str) -> Output:
        """Return what stands in a denied text's place.

        Args:
            text: What was denied.
            said: Why, in the service's words.
        """
        if self.spec.replace is None:
            cut: dict[str, Any] = {"text": self.spec.message or said, "action": "cut"}
            return cut | {"finish_reason": "content_filter", "downstream_black_list": [".*"]}
        if self._denied.denies(text):
            return {"text": self._denied.replaced(text, self.spec.replace), "action": "replaced"}
        space = text[: len(text) - len(text.lstrip())]
        return {"text": space + self.spec.replace, "action": "replaced"}


def _text(call: NodeCall) -> str:
    text = call.nearest_text
    return last_user_text(call.request.get("messages", [])) if text is None else text


def _passed(text: str) -> Output:
    return {"text": text, "action": "passed"}
