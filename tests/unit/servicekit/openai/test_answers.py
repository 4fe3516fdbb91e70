"""What upstreams answer, checked and in OpenAI's form."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from servicekit.errors import ServiceError, UpstreamBadResponseError
from servicekit.http.client import Target
from servicekit.openai.answers import read_completion
from servicekit.openai.chat import ChatObject
from servicekit.openai.chunks import ChunkReader
from servicekit.sse import ServerSentEvent

TARGET = Target("the upstream of model 'm'", "http://u/v1/chat/completions")
USAGE = {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}


def completion(message: dict[str, Any], finish_reason: str | None = "stop", **more: Any) -> bytes:
    """Encode an upstream's answer with one choice."""
    choice = {"index": 0, "message": message, "finish_reason": finish_reason}
    return orjson.dumps({"id": "c", "model": "/a/path.gguf", "created": 5, "choices": [choice], **more})


def event(delta: dict[str, Any] | None, finish_reason: str | None = None, **more: Any) -> ServerSentEvent:
    """Encode an upstream's chunk; without a delta it has no choices."""
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": finish_reason}]
    return ServerSentEvent(orjson.dumps({"id": "c", "created": 5, "choices": choices, **more}))


def read_all(*events: ServerSentEvent, was_cut: bool = False) -> list[ChatObject]:
    """Return the chunks of a whole stream."""
    reader = ChunkReader(TARGET, "m")
    chunks = [chunk for item in events for chunk in reader.read(item)]
    return chunks + reader.end(was_cut)


DONE = ServerSentEvent(b"[DONE]")


def test_completion_has_openais_fields_and_our_models_name() -> None:
    """A server's own extras end here, and `model` is never a path."""
    body = completion({"role": "assistant", "content": "Ciao"}, usage=USAGE, timings={"predicted_ms": 3})
    assert read_completion(body, TARGET, "m") == {
        "id": "c",
        "object": "chat.completion",
        "created": 5,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Ciao"}, "finish_reason": "stop"}],
        "usage": USAGE,
    }


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b'"x"', b"{}", b'{"choices": {}}', b'{"choices": []}', b'{"choices": [{"text": "x"}]}'],
)
def test_completion_that_is_none_is_a_bad_response(body: bytes) -> None:
    """Whatever is not a chat completion is reported with the start of what came."""
    with pytest.raises(UpstreamBadResponseError, match="the upstream of model 'm'"):
        read_completion(body, TARGET, "m")


@pytest.mark.parametrize("content", ["", None])
def test_completion_without_text_is_a_bad_response(content: str | None) -> None:
    """An empty answer never passes as a good one."""
    with pytest.raises(UpstreamBadResponseError, match="without any text"):
        read_completion(completion({"role": "assistant", "content": content}), TARGET, "m")


@pytest.mark.parametrize(
    ("message", "finish_reason"),
    [
        ({"role": "assistant", "content": None, "tool_calls": [{"id": "t"}]}, "tool_calls"),
        ({"role": "assistant", "content": None, "refusal": "I cannot"}, "stop"),
        ({"role": "assistant", "content": "", "reasoning_content": "hm"}, "stop"),
        ({"role": "assistant", "content": ""}, "length"),
    ],
)
def test_completion_that_says_why_it_has_no_text_passes(message: dict[str, Any], finish_reason: str) -> None:
    """Tool calls, refusals, reasoning and a token limit are answers."""
    answer = read_completion(completion(message, finish_reason), TARGET, "m")
    assert answer["choices"][0]["message"] == message


def test_stream_starts_with_the_role_and_ends_with_the_usage() -> None:
    """The order of OpenAI's chunks: role, text, finish, usage with empty choices."""
    chunks = read_all(
        event({"role": "assistant", "content": None}),
        event({"content": "Ci"}),
        event({"content": "ao"}),
        event({}, "stop"),
        event(None, usage=USAGE, timings={}),
        DONE,
    )
    head = {"id": "c", "object": "chat.completion.chunk", "created": 5, "model": "m"}
    assert chunks == [
        {**head, "choices": [{"index": 0, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {"content": "Ci"}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {"content": "ao"}, "finish_reason": None}]},
        {**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {**head, "choices": [], "usage": USAGE},
    ]


def test_stream_gets_a_role_where_the_upstream_sends_none() -> None:
    """The first chunk carries the role, as OpenAI's does."""
    chunks = read_all(event({"content": "Ciao"}), event({}, "stop"), DONE)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": "Ciao"}


def test_stream_usage_beside_the_finish_reason_gets_a_chunk_of_its_own() -> None:
    """Servers that put usage into the last text chunk look like OpenAI too."""
    chunks = read_all(event({"content": "Ciao"}), event({}, "stop", usage=USAGE), DONE)
    assert "usage" not in chunks[1]
    assert chunks[2]["choices"] == []
    assert chunks[2]["usage"] == USAGE


def test_stream_without_usage_invents_none() -> None:
    """An upstream that does not count gives no usage chunk."""
    chunks = read_all(event({"content": "Ciao"}), event({}, "stop"), DONE)
    assert all(chunk["choices"] for chunk in chunks)


def test_stream_holds_the_role_back_until_something_is_said() -> None:
    """Until the first text a failure must still be able to become a status."""
    reader = ChunkReader(TARGET, "m")
    assert reader.read(event({"role": "assistant", "content": ""})) == []
    assert len(reader.read(event({"content": "Ciao"}))) == 2


@pytest.mark.parametrize(
    "ending",
    [(DONE,), (event({}, "stop"),), (event({}, "stop"), DONE)],
    ids=["done", "finish_reason", "both"],
)
def test_stream_may_end_with_done_or_a_finish_reason(ending: tuple[ServerSentEvent, ...]) -> None:
    """Some servers leave out one of the two."""
    chunks = read_all(event({"content": "Ciao"}), *ending)
    assert chunks[0]["choices"][0]["delta"]["content"] == "Ciao"


@pytest.mark.parametrize(
    ("events", "was_cut", "message"),
    [
        ((), False, "without any event"),
        ((DONE,), False, "without any text"),
        ((event({"role": "assistant"}), event({}, "stop"), DONE), False, "without any text"),
        ((event({"content": "Ci"}),), False, "without a finish_reason or \\[DONE\\]"),
        ((event({"content": "Ci"}),), True, "inside an event"),
        ((), True, "inside an event"),
        ((ServerSentEvent(b"{"),), False, "broken JSON"),
        ((ServerSentEvent(b"[]"),), False, "no object"),
        ((ServerSentEvent(b'{"text": "x"}'),), False, "no chunk"),
    ],
)
def test_stream_that_is_empty_or_broken_raises(
    events: tuple[ServerSentEvent, ...], was_cut: bool, message: str
) -> None:
    """No stream ends as a silent, empty success."""
    with pytest.raises(UpstreamBadResponseError, match=message):
        read_all(*events, was_cut=was_cut)


def test_stream_cut_by_the_token_limit_before_any_text_passes() -> None:
    """`finish_reason: length` says why there is nothing."""
    chunks = read_all(event({"role": "assistant"}), event({}, "length"), DONE)
    assert chunks[-1]["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize(
    "failure",
    [
        ServerSentEvent(b'{"error": {"message": "out of memory", "code": 500}}'),
        ServerSentEvent(b'{"error": "out of memory"}'),
        ServerSentEvent(b"out of memory", event="error"),
    ],
)
def test_stream_error_event_raises_with_its_text(failure: ServerSentEvent) -> None:
    """An error inside a stream is an error, in each of the ways in which servers send it."""
    with pytest.raises(ServiceError, match="answered an error: out of memory"):
        read_all(event({"content": "Ci"}), failure)


def test_stream_keeps_tool_calls_and_logprobs() -> None:
    """What a backend has besides text passes through."""
    call = {"index": 0, "id": "t", "function": {"name": "f", "arguments": ""}}
    chunks = read_all(event({"role": "assistant", "content": None, "tool_calls": [call]}), event({}, "tool_calls"))
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": None, "tool_calls": [call]}


def test_completion_in_our_form_passes_unchanged() -> None:
    """With its fields and their order; another model's name is written into it."""
    message = {"role": "assistant", "content": "Ciao"}
    document = {
        "id": "c",
        "object": "chat.completion",
        "created": 5,
        "model": "x",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": USAGE,
    }
    assert list(read_completion(orjson.dumps(document), TARGET)) == list(document)
    assert read_completion(orjson.dumps(document), TARGET) == document
    assert read_completion(orjson.dumps(document), TARGET, "m") == {**document, "model": "m"}
