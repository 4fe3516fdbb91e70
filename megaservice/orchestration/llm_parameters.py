"""Which value wins: explicitly set LLMParams beat inputs, inputs beat defaults (stock lets the defaults win)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comps.cores.proto.docarray import LLMParams

from megaservice.nodes.openai_chat import NOT_OPENAI
from servicekit.openai.chat import text_of

#: OPEA's fields that OpenAI-compatible servers do not know, besides those that callers of our gateway may send.
_OPEA_ONLY = NOT_OPENAI | {"id", "language", "index_name", "downstream_black_list"}
#: The fields of a `chat.completion`: the node before answered them, the next one is not asked them.
_ANSWER_FIELDS = frozenset({"id", "object", "created", "model", "choices", "usage", "system_fingerprint", "notice"})
#: Where OPEA's services look for a text.
_TEXT_FIELDS = ("text", "query", "input")


def effective_parameters(parameters: LLMParams, inputs: object, *, streams: bool) -> dict[str, Any]:
    """Return the value of every field of LLMParams that counts for one node.

    Args:
        parameters: Of the request.
        inputs: The node's.
        streams: Whether this node is asked for a stream.
    """
    given = inputs if isinstance(inputs, Mapping) else {}
    explicit = parameters.model_fields_set
    values = dict(parameters.__dict__)
    values.update({name: given[name] for name in values if name in given and name not in explicit})
    return {**values, "stream": streams}


def asks_for_stream(parameters: LLMParams, inputs: Mapping[str, Any]) -> bool:
    """Whether a request asks for streamed answers; stock's default is that it does."""
    if "stream" in parameters.model_fields_set:
        return bool(parameters.stream)
    wanted = inputs.get("stream")
    return bool(parameters.stream if wanted is None else wanted)


def overlaid(inputs: Mapping[str, Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node's inputs with all its parameters, as in stock: a null only where the inputs have the field."""
    return {**inputs, **{name: value for name, value in parameters.items() if inputs.get(name) != value}}


def openai_payload(
    parameters: LLMParams, inputs: Mapping[str, Any], request: Mapping[str, Any], *, streams: bool
) -> dict[str, Any]:
    """Return the body for an OpenAI endpoint: the inputs, and what was set explicitly; no OPEA fields, no defaults.

    Without `messages` the text of the inputs is the one user message.

    Args:
        parameters: Of the request.
        inputs: The node's.
        request: The whole request's inputs; they name the model where the node before is another one.
        streams: Whether a stream is asked for.
    """
    explicit = {name: getattr(parameters, name) for name in parameters.model_fields_set}
    dropped = _OPEA_ONLY | _ANSWER_FIELDS if "choices" in inputs else _OPEA_ONLY
    given = {name: value for name, value in {**inputs, **explicit}.items() if name not in dropped}
    payload = {**given, "model": explicit.get("model") or given.get("model") or request.get("model")}
    if "messages" not in payload and (text := text_in(inputs)) is not None:
        payload["messages"] = [{"role": "user", "content": text}]
    return {**payload, "stream": streams}


def text_in(output: object) -> str | None:
    """Return the text in a node's output or inputs: a completion's, or OPEA's; None if there is none."""
    if isinstance(output, str):
        return output
    if not isinstance(output, Mapping):
        return None
    choices = output.get("choices")
    if isinstance(choices, list) and choices:
        return text_of((choices[0].get("message") or {}).get("content"))
    texts = (output.get(name) for name in _TEXT_FIELDS)
    return next((text for text in texts if isinstance(text, str)), None)
