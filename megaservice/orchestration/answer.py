"""From the outputs of a run to what the client sees: the answer, and what the pipeline attaches to it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import orjson

from megaservice.nodes.base import Output
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import ServiceKind
from servicekit.errors import UpstreamBadResponseError
from servicekit.openai.chat import ChatObject, chat_completion
from servicekit.openai.stream_end import TELLING_REASONS
from servicekit.sse import encode_event

#: What the usages of several texts are added up to.
_TOKEN_COUNTS = ("prompt_tokens", "completion_tokens", "total_tokens")


def compose_answer(
    pipeline: Pipeline, outputs: Mapping[str, Output], attempts: Mapping[str, int] = MappingProxyType({})
) -> dict[str, Any]:
    """Return the answer node's output with the attached outputs as further fields.

    Args:
        pipeline: What ran.
        outputs: By node.
        attempts: How many its loops made, by their names.
    """
    answer = _completion(pipeline, outputs)
    if not pipeline.attached and not attempts:
        return answer
    return {**answer, **attached_fields(pipeline, outputs), **_tries(pipeline, attempts)}


def answering_node(pipeline: Pipeline, outputs: Mapping[str, Output]) -> str:
    """Return the node whose text the client sees: an answer node, or the last text before them if none ran."""
    answers = pipeline.answer_nodes
    for node in answers:
        if node in outputs:
            return node
    above = frozenset[str]().union(*(pipeline.dag.ancestors(node) for node in answers))
    with_text = [node for node in pipeline.dag.order if node in above and has_text(outputs.get(node))]
    return with_text[-1]


def has_text(output: Output | None) -> bool:
    """Return whether an output is one of a text-producing node."""
    return output is not None and ("choices" in output or isinstance(output.get("text"), str))


def _tries(pipeline: Pipeline, attempts: Mapping[str, int]) -> dict[str, Any]:
    """Return the answer's `attempts`: a number, or one for each loop where a pipeline has several."""
    if not attempts:
        return {}
    return {"attempts": dict(attempts) if len(pipeline.plan.loops) > 1 else next(iter(attempts.values()))}


def _completion(pipeline: Pipeline, outputs: Mapping[str, Output]) -> ChatObject:
    """Return the answer node's output as a `chat.completion`; a plain text takes model and usage from its LLM."""
    answer_node = answering_node(pipeline, outputs)
    answer = outputs[answer_node]
    if "choices" in answer:
        return answer
    finish_reason = str(answer.get("finish_reason") or "stop")
    if not answer.get("text") and finish_reason not in TELLING_REASONS:
        raise UpstreamBadResponseError(f"Node '{answer_node}' answered no text.")
    ancestors = pipeline.dag.ancestors(answer_node)
    above = [outputs[node] for node in pipeline.dag.order if node in ancestors and node in outputs]
    wrote = next((output for output in reversed(above) if "choices" in output), {})
    text = answer.get("text") or ""
    is_choice = pipeline.spec.nodes[answer_node].service_type is ServiceKind.SELECT
    usage = _sum_of_usage(above) if is_choice else wrote.get("usage") or {}
    completion = chat_completion(wrote.get("model", ""), text, usage, finish_reason)
    # In a stream the chunks had the id of what was written, so the last one must have it too.
    return completion | {key: wrote[key] for key in ("id", "created", "notice") if key in wrote}


def _sum_of_usage(outputs: Iterable[Output]) -> dict[str, int]:
    """Return what all texts that were written cost; those that were not chosen cost as much."""
    found = [output["usage"] for output in outputs if "choices" in output and output.get("usage")]
    return {key: sum(usage.get(key) or 0 for usage in found) for key in _TOKEN_COUNTS} if found else {}


def attached_fields(pipeline: Pipeline, outputs: Mapping[str, Output]) -> dict[str, Any]:
    """Return the fields that the pipeline attaches, by name; nodes that were skipped have none."""
    if not pipeline.attached:
        return {}
    ended = {node: name for node, name in pipeline.attached.items() if node in outputs}
    if len(pipeline.answer_nodes) > 1:  # what answers is attached only where the file says so
        answer = answering_node(pipeline, outputs)
        ended = {
            node: name for node, name in ended.items() if node != answer or pipeline.spec.nodes[node].attach is not None
        }
    return {name: _selected(pipeline, node, outputs[node]) for node, name in ended.items()}


def final_event(
    pipeline: Pipeline,
    request: Mapping[str, Any],
    outputs: Mapping[str, Output],
    attempts: Mapping[str, int] = MappingProxyType({}),
) -> bytes | None:
    """Encode the last chunk of a stream: `choices: []`, the attached outputs, and `usage` where asked for.

    Args:
        pipeline: What ran.
        request: The caller's body.
        outputs: By node.
        attempts: How many its loops made, by their names.

    Returns:
        The event, or None if there is nothing to say.
    """
    answer = _completion(pipeline, outputs)
    fields = attached_fields(pipeline, outputs) | _tries(pipeline, attempts)
    if (request.get("stream_options") or {}).get("include_usage") and answer.get("usage"):
        fields["usage"] = answer["usage"]
    if not fields:
        return None
    head = {key: answer[key] for key in ("id", "created", "model") if key in answer}
    return encode_event(orjson.dumps({**head, "object": "chat.completion.chunk", "choices": [], **fields}))


def _selected(pipeline: Pipeline, node: str, output: Output) -> Any:  # noqa: ANN401  # a node's output is any JSON
    attach = pipeline.spec.nodes[node].attach
    mapping = pipeline.plan.outputs.get(node)
    if mapping is not None and "choices" in output:  # else it is an error
        output = mapping.mapped(output)
    if attach is None or attach.fields is None:
        return output
    # An error is always shown: a null without its reason would help nobody.
    return {key: output[key] for key in (*attach.fields, "error") if key in output}
