"""Chunks put together to the answer that JSON mode would have given."""

from __future__ import annotations

from typing import Any

from servicekit.openai.assembler import ChatAssembler

HEAD = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 5, "model": "m"}


def _chunk(index: int = 0, finish_reason: str | None = None, **delta: Any) -> dict[str, Any]:
    return {**HEAD, "choices": [{"index": index, "delta": delta, "finish_reason": finish_reason}]}


def _assembled(*chunks: dict[str, Any]) -> dict[str, Any]:
    assembler = ChatAssembler()
    for chunk in chunks:
        assembler.add(chunk)
    return assembler.completion()


def test_assembler_joins_the_deltas_of_a_choice() -> None:
    """Head, text, finish_reason and usage are those of the chunks."""
    usage = {"total_tokens": 3}
    answer = _assembled(
        _chunk(role="assistant", content=""),
        _chunk(content="Ciao"),
        _chunk(content="!"),
        _chunk(finish_reason="stop"),
        {**HEAD, "choices": [], "usage": usage},
    )
    assert answer == {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ciao!"}, "finish_reason": "stop"}],
        "usage": usage,
    }


def test_assembler_add_returns_the_text_of_the_first_choice_alone() -> None:
    """The first choice is what nodes behind read."""
    assembler = ChatAssembler()
    assert assembler.add(_chunk(0, content="a")) == "a"
    assert assembler.add(_chunk(1, content="b")) == ""
    assert assembler.add({**HEAD, "choices": []}) == ""


def test_assembler_keeps_several_choices_apart_and_in_order() -> None:
    """With n > 1 the deltas are interleaved."""
    answer = _assembled(_chunk(1, content="B"), _chunk(0, content="A"), _chunk(1, content="b"), _chunk(0, content="a"))
    assert [(choice["index"], choice["message"]["content"]) for choice in answer["choices"]] == [(0, "Aa"), (1, "Bb")]


def test_assembler_merges_tool_calls_by_their_index() -> None:
    """The first delta of a call names it, the others append arguments; calls may be interleaved."""

    def call(index: int, arguments: str, **named: Any) -> dict[str, Any]:
        name = named.pop("name", None)
        function = {"arguments": arguments, **({"name": name} if name else {})}
        return {"index": index, "function": function, **named}

    answer = _assembled(
        _chunk(tool_calls=[call(0, "", id="c0", type="function", name="look_up")]),
        _chunk(tool_calls=[call(1, "{", id="c1", type="function", name="add"), call(0, '{"a"')]),
        _chunk(tool_calls=[call(0, ":1}")]),
        _chunk(tool_calls=[call(1, "}")]),
        _chunk(finish_reason="tool_calls"),
    )
    message = answer["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"] == [
        {"function": {"name": "look_up", "arguments": '{"a":1}'}, "id": "c0", "type": "function"},
        {"function": {"name": "add", "arguments": "{}"}, "id": "c1", "type": "function"},
    ]
    assert answer["choices"][0]["finish_reason"] == "tool_calls"


def test_assembler_keeps_the_text_beside_tool_calls() -> None:
    """A model may say something and call a tool."""
    answer = _assembled(
        _chunk(content="One moment."), _chunk(tool_calls=[{"index": 0, "id": "c", "function": {"name": "f"}}])
    )
    message = answer["choices"][0]["message"]
    assert (message["content"], message["tool_calls"][0]["function"]) == ("One moment.", {"name": "f", "arguments": ""})


def test_assembler_keeps_the_notice() -> None:
    """What the model says about itself is in the answer too."""
    notice = {"code": "out_of_domain", "message": "x"}
    assert _assembled({**_chunk(content="a"), "notice": notice}, _chunk(content="b"))["notice"] == notice


def test_assembler_survives_nulls() -> None:
    """Servers send null where others send nothing."""
    chunk: dict[str, Any] = {**HEAD, "choices": [{"index": 0, "delta": None, "finish_reason": None}], "usage": None}
    odd = _chunk(role=None, content=None, tool_calls=None)
    answer = _assembled(chunk, odd, {**HEAD, "choices": None})
    assert answer["choices"] == [{"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": None}]
    assert "usage" not in answer


def test_assembler_without_chunks_is_an_answer_without_choices() -> None:
    """It can be read at any time."""
    answer = ChatAssembler().completion()
    assert answer["choices"] == []
    assert answer["id"].startswith("chatcmpl-")
