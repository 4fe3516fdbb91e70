"""Checks of the parameters that a file sets for a model: values of those that we know; whether others are slips.

A model may know more than OpenAI's parameters (vLLM's `stop_token_ids`, llama.cpp's `mirostat`), so an unknown name is
taken as it is, unless it is a letter or two away from a known one.
"""

from __future__ import annotations

from pydantic import ValidationError

from servicekit.nearest import nearest
from servicekit.openai.chat import ChatRequest
from servicekit.validation import invalid_request

#: What a request says itself; in a file it would make no sense.
_NOT_PARAMETERS = frozenset({"messages", "model", "stream", "stream_options"})
_CHECKED = ChatRequest.model_fields.keys() - _NOT_PARAMETERS
#: Known, and as near to another known one as a slip would be, or nearly.
_OTHERS = frozenset(
    {
        *("logprobs", "top_logprobs", "logit_bias", "tools", "tool_choice", "parallel_tool_calls", "user", "top_k"),
        *("min_p", "typical_p", "max_new_tokens", "min_tokens", "repetition_penalty", "reasoning_effort"),
        # vLLM's, llama.cpp's, and Anthropic's `speed`
        *("chat_template_kwargs", "guided_json", "guided_regex", "repeat_penalty", "stop_token_ids"),
        *("parse_tool_calls", "reasoning_format", "speed"),
    }
)
_SLIP_LIKENESS = 0.85


def parameter_problem(name: str, value: object) -> str | None:
    """Return what is wrong with a parameter of a chat request and how to put it right; None if nothing is.

    Args:
        name: As it stands in the file.
        value: Likewise, decoded.
    """
    if name in _NOT_PARAMETERS:
        return f"'{name}' is no parameter of a model; each request says it itself. Leave it out."
    if name in _CHECKED:
        try:
            ChatRequest.model_validate({"messages": "-", name: value})
        except ValidationError as exc:
            return invalid_request(exc).message
    elif name not in _OTHERS and (hint := nearest(name, sorted(_CHECKED | _OTHERS), _SLIP_LIKENESS)):
        return f"the parameter '{name}' is not known.{hint}"
    return None
