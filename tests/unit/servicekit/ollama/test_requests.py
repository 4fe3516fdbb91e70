"""What Ollama's clients send, as OpenAI's requests."""

from __future__ import annotations

from typing import Any

import pytest

from servicekit.ollama.requests import ChatRequest, EmbedRequest, GenerateRequest, NamedRequest


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (None, {}),
        ({"num_predict": 5, "temperature": 0, "num_ctx": 9, "mirostat": 1}, {"max_tokens": 5, "temperature": 0}),
        ({"num_predict": -1, "seed": None}, {}),
        ({"stop": ["a"], "top_k": 3, "repeat_penalty": 1.1}, {"stop": ["a"], "top_k": 3, "repeat_penalty": 1.1}),
    ],
)
def test_options_get_openai_s_names(options: dict[str, Any] | None, expected: dict[str, Any]) -> None:
    """Those that we cannot pass on are left out; no limit is no field."""
    assert GenerateRequest(options=options).parameters() == expected


def test_images_become_parts_of_the_message() -> None:
    """As data URLs, since Ollama sends bare base64."""
    (message,) = GenerateRequest(prompt="What is it?", images=["aGk="]).messages()
    assert message["content"][1]["image_url"]["url"] == "data:image/png;base64,aGk="


def test_answers_of_tools_find_their_calls_by_name_and_order() -> None:
    """Ollama has no ids for them, OpenAI insists on them."""
    calls = [{"function": {"name": name, "arguments": {"n": n}}} for n, name in enumerate(("f", "g", "f"))]
    answers = [{"role": "tool", "tool_name": name, "content": ""} for name in ("g", "f", "f", "h")]
    asked, *told = ChatRequest(messages=[{"role": "assistant", "tool_calls": calls}, *answers]).openai_messages()
    first, second, third = (call["id"] for call in asked["tool_calls"])
    assert [message["tool_call_id"] for message in told] == [second, first, third, "call_unknown"]


def test_older_names_are_understood() -> None:
    """`name` for `model`, `prompt` for `input`."""
    assert NamedRequest.model_validate({"name": "a"}).model == "a"
    assert EmbedRequest.model_validate({"prompt": "a"}).payload() == {"input": "a", "encoding_format": "float"}
