"""Picks the best of several candidates, such as the outputs of nodes that ran side by side. Runs in the gateway."""

from __future__ import annotations

from typing import Any

from megaservice.nodes.base import NodeCall, Output
from megaservice.nodes.text_output import TextOutputNode
from megaservice.pipeline.expressions import Expression
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import InternalError, UpstreamBadResponseError

#: The input that lists the candidates.
CANDIDATES = "candidates"


class SelectNode(TextOutputNode):
    """The choice that one node makes. It answers `{"text", "best", "index", "candidates"}`.

    A candidate is a text, or an object with one; those that have none (of nodes that failed or were skipped) do not
    count. Without declared candidates they are the texts of the nodes before, the nearest first.

    Args:
        name: The node's name in the pipeline.
        spec: As declared.
    """

    def __init__(self, name: str, spec: NodeSpec) -> None:
        super().__init__(name, spec)
        self._name = name
        self._best = Expression(spec.best, f"node '{name}', 'best'") if spec.best is not None else None

    async def call(self, call: NodeCall) -> Output:
        """Choose; see `NodeClient.call`."""
        candidates = self._candidates(call)
        if not candidates:
            raise UpstreamBadResponseError(f"node '{self._name}': none of the candidates has a text to choose.")
        index = self._chosen(call, candidates)
        best = candidates[index]
        chosen = {"text": best["text"], "best": best, "index": index, CANDIDATES: candidates}
        return self._outputs.mapped(chosen, ("text",))

    def _candidates(self, call: NodeCall) -> list[dict[str, Any]]:
        if CANDIDATES not in self._inputs:
            return [{"text": text} for text in reversed(list(call.texts.values())) if text]
        given = self._inputs.values(call)[CANDIDATES]
        if not isinstance(given, list):
            raise InternalError(f"node '{self._name}', 'inputs.{CANDIDATES}' found no list; write it as '[a, b]'.")
        candidates = [{"text": item} if isinstance(item, str) else item for item in given]
        return [item for item in candidates if isinstance(item, dict) and _has_text(item)]

    def _chosen(self, call: NodeCall, candidates: list[dict[str, Any]]) -> int:
        """Return the place of the best; the first one where the expression finds none."""
        best = None if self._best is None else self._best.value({**call.scope(), CANDIDATES: candidates})
        if best is None:
            return 0
        try:
            return candidates.index({"text": best} if isinstance(best, str) else best)
        except ValueError:
            remedy = "such as 'max_by(candidates, &score)'"
            text = self.spec.best
            raise InternalError(
                f"node '{self._name}', 'best': '{text}' found something that is no candidate; write one {remedy}."
            ) from None


def _has_text(candidate: dict[str, Any]) -> bool:
    text = candidate.get("text")
    return isinstance(text, str) and bool(text)
