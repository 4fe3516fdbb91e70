"""Checks of the parameters that go to a model: of those that we know, the values; of others, whether they are slips.

A model may know more than OpenAI's parameters (vLLM's `min_p`, llama.cpp's `mirostat`), so an unknown name is sent as
it is, unless it is a letter or two away from a known one.
"""

from __future__ import annotations

from collections.abc import Iterator
from difflib import get_close_matches

from pydantic import ValidationError

from megaservice.pipeline.located_yaml import Path
from megaservice.pipeline.spec import NodeSpec, ServiceKind
from servicekit.openai.chat import ChatRequest
from servicekit.validation import invalid_request

#: What a request says to the gateway, not to the model.
_NOT_PARAMETERS = frozenset({"messages", "model", "stream", "stream_options"})
_CHECKED = ChatRequest.model_fields.keys() - _NOT_PARAMETERS
#: Known, and as near to a checked one as a slip would be, or nearly.
_OTHERS = frozenset(
    {
        *("logprobs", "top_logprobs", "logit_bias", "tools", "tool_choice", "parallel_tool_calls", "user", "top_k"),
        *("min_p", "typical_p", "max_new_tokens", "min_tokens", "repetition_penalty", "reasoning_effort"),
    }
)
_SLIP_LIKENESS = 0.85


def parameter_problems(name: str, node: NodeSpec) -> Iterator[tuple[Path, str]]:
    """Yield what is wrong with a node's parameters: the place within the node, and the message.

    Args:
        name: The node's.
        node: As declared; only chat nodes' parameters are known.
    """
    if node.service_type is not ServiceKind.LLM:
        return
    for parameter, value in node.parameters.items():
        place = ("parameters", parameter)
        if parameter in _NOT_PARAMETERS:
            yield place, f"node '{name}': '{parameter}' is no parameter of a model; the request decides about it."
        elif parameter in _CHECKED:
            try:
                ChatRequest.model_validate({"messages": "-", parameter: value})
            except ValidationError as exc:
                yield place, f"node '{name}': {invalid_request(exc).message}"
        elif parameter not in _OTHERS and (
            meant := get_close_matches(parameter, sorted(_CHECKED | _OTHERS), n=1, cutoff=_SLIP_LIKENESS)
        ):
            yield place, f"node '{name}': the parameter '{parameter}' is not known. Did you mean '{meant[0]}'?"
