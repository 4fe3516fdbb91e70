"""Whatever JSON an upstream sends: an answer in OpenAI's form, or an error that names the upstream; never a bug."""

from __future__ import annotations

import re
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from megaservice.nodes.openai_chat import ChatNode
from megaservice.pipeline.spec import NodeSpec
from servicekit.errors import ServiceError
from servicekit.http.client import HttpClient, Target
from servicekit.http.upstream_errors import error_from_answer
from servicekit.openai.answers import read_completion
from servicekit.openai.assembler import ChatAssembler
from servicekit.openai.chunks import ChunkReader
from servicekit.sse import ServerSentEvent

TARGET = Target("node 'llm'", "http://127.0.0.1:1/v1/chat/completions")
NODE = ChatNode("llm", NodeSpec.model_validate({"service_type": "llm", "endpoint": TARGET.url}), HttpClient())
EXAMPLES = settings(max_examples=300, deadline=None)

SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-9, 9), st.floats(allow_nan=False), st.text(max_size=3))
ANYTHING = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2)
)


def _fields(**known: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw an object with some of the fields, most of them as they should be."""
    return st.fixed_dictionaries({}, optional={name: value | ANYTHING for name, value in known.items()})


FUNCTION = _fields(name=st.just("f"), arguments=st.just("{}"))
TOOL_CALL = _fields(index=st.integers(0, 2), id=st.just("call_1"), type=st.just("function"), function=FUNCTION)
DELTA = _fields(
    role=st.just("assistant"), content=st.text(max_size=5), tool_calls=st.lists(TOOL_CALL | ANYTHING, max_size=2)
)
CHOICE = _fields(index=st.integers(0, 2), delta=DELTA, message=DELTA, finish_reason=st.sampled_from(["stop", "length"]))
DOCUMENT = _fields(
    id=st.just("chatcmpl-1"),
    created=st.just(1),
    model=st.just("m"),
    choices=st.lists(CHOICE | ANYTHING, max_size=2),
    usage=st.just({"total_tokens": 1}),
    notice=_fields(code=st.just("x")),
    error=st.none(),
)


def _check_completion(answer: dict[str, Any]) -> None:
    """It can be sent to a client and handed to the nodes behind."""
    orjson.dumps(answer)
    assert isinstance(answer["choices"], list)
    text = NODE.text_of(answer)
    assert text is None or isinstance(text, str)
    if "notice" in answer:
        assert re.fullmatch(r"\w+", answer["notice"]["code"])


def _check_error(error: ServiceError) -> None:
    assert "node 'llm'" in error.message


@EXAMPLES
@given(document=DOCUMENT | ANYTHING)
def test_nonsense_as_a_completion_is_an_answer_or_an_upstream_error(document: object) -> None:
    """No other exception, and an answer whose text can be read."""
    try:
        answer = read_completion(orjson.dumps(document), TARGET)
    except ServiceError as exc:
        _check_error(exc)
        return
    _check_completion(answer)


@EXAMPLES
@given(documents=st.lists(DOCUMENT | ANYTHING, min_size=1, max_size=4))
def test_nonsense_as_a_stream_is_an_answer_or_an_upstream_error(documents: list[object]) -> None:
    """Chunk by chunk, to the end."""
    reader, assembler = ChunkReader(TARGET), ChatAssembler()
    texts: list[str] = []
    try:
        chunks = [
            chunk for document in documents for chunk in reader.read(ServerSentEvent(orjson.dumps(document)))
        ] + reader.end(was_cut=False)
    except ServiceError as exc:
        _check_error(exc)
        return
    for chunk in chunks:
        texts.append(assembler.add(chunk))  # noqa: PERF401 - each one is checked as it comes
    _check_completion(assembler.completion())
    assert NODE.text_of(assembler.completion()) == "".join(texts)


@EXAMPLES
@given(
    status=st.integers(300, 599), body=st.binary(max_size=20) | ANYTHING.map(orjson.dumps) | DOCUMENT.map(orjson.dumps)
)
def test_nonsense_as_an_error_body_is_still_an_error(status: int, body: bytes) -> None:
    """It names the node and the status, whatever the body is."""
    error = error_from_answer(TARGET, status, {"retry-after": "soon"}, body)
    assert "node 'llm'" in error.message
    assert str(status) in error.message
    assert 400 <= error.status <= 599
