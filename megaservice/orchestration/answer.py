"""From the outputs of a run to what the client sees: the answer, and what the pipeline attaches to it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from megaservice.nodes.base import Output
from megaservice.pipeline.pipeline import Pipeline
from servicekit.errors import UpstreamBadResponseError
from servicekit.openai.chat import ChatObject, chat_completion
from servicekit.sse import encode_event


def compose_answer(pipeline: Pipeline, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Return the answer node's output with the attached outputs as further fields."""
    return {**_completion(pipeline, outputs), **attached_fields(pipeline, outputs)}


def answering_node(pipeline: Pipeline, outputs: Mapping[str, Output]) -> str:
    """Return the node whose text the client sees: the answer node, or the last text before it where it was pruned."""
    if pipeline.answer_node in outputs:
        return pipeline.answer_node
    above = pipeline.dag.ancestors(pipeline.answer_node)
    with_text = [node for node in pipeline.dag.order if node in above and _has_text(outputs.get(node))]
    return with_text[-1]


def _has_text(output: Output | None) -> bool:
    return output is not None and ("choices" in output or isinstance(output.get("text"), str))


def _completion(pipeline: Pipeline, outputs: Mapping[str, Output]) -> ChatObject:
    """Return the answer node's output as a `chat.completion`; a plain text takes model and usage from its LLM."""
    answer_node = answering_node(pipeline, outputs)
    answer = outputs[answer_node]
    if "choices" in answer:
        return answer
    if not answer.get("text"):
        raise UpstreamBadResponseError(f"Node '{answer_node}' answered no text.")
    ancestors = pipeline.dag.ancestors(answer_node)
    above = [outputs[node] for node in pipeline.dag.order if node in ancestors and node in outputs]
    wrote = next((output for output in reversed(above) if "choices" in output), {})
    completion = chat_completion(wrote.get("model", ""), answer.get("text", ""), wrote.get("usage") or {})
    return {**completion, "notice": wrote["notice"]} if "notice" in wrote else completion


def attached_fields(pipeline: Pipeline, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Return the fields that the pipeline attaches, by name; nodes that were skipped have none."""
    return {
        name: _selected(pipeline, node, outputs[node]) for node, name in pipeline.attached.items() if node in outputs
    }


def final_event(pipeline: Pipeline, request: Mapping[str, Any], outputs: Mapping[str, Output]) -> bytes | None:
    """Encode the last chunk of a stream: `choices: []`, the attached outputs, and `usage` where asked for.

    Returns:
        The event, or None if there is nothing to say.
    """
    answer = _completion(pipeline, outputs)
    fields = attached_fields(pipeline, outputs)
    if (request.get("stream_options") or {}).get("include_usage") and answer.get("usage"):
        fields["usage"] = answer["usage"]
    if not fields:
        return None
    head = {key: answer[key] for key in ("id", "created", "model") if key in answer}
    return encode_event(orjson.dumps({**head, "object": "chat.completion.chunk", "choices": [], **fields}))


def _selected(pipeline: Pipeline, node: str, output: Output) -> Any:  # noqa: ANN401  # a node's output is any JSON
    attach = pipeline.spec.nodes[node].attach
    if attach is None or attach.fields is None:
        return output
    # An error is always shown: a null without its reason would help nobody.
    return {key: output[key] for key in (*attach.fields, "error") if key in output}
