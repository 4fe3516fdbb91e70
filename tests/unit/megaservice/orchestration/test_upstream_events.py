"""What a service's stream says, event by event, and how it ended."""

from __future__ import annotations

import pytest

from megaservice.nodes.base import StreamPart
from megaservice.orchestration.text_chunks import TokenChunks, encode_token
from megaservice.orchestration.upstream_events import UpstreamEvents
from servicekit.errors import ServiceError
from servicekit.http.client import Target
from servicekit.sse import ServerSentEvent

TARGET = Target("node 'llm'", "http://x")


def _read(*payloads: bytes) -> tuple[UpstreamEvents, list[StreamPart]]:
    events = UpstreamEvents(TARGET)
    return events, [part for payload in payloads for part in events.read(ServerSentEvent(payload))]


def test_events_of_opea_tokens_are_text_and_pass_unchanged() -> None:
    """Also where a character is split between two tokens, or quotes were not escaped."""
    payloads = [b"b'Perch\\xc3'", b"b'\\xa9'", b'b"it\'s"', b"b'it's'", b"[DONE]"]
    events, parts = _read(*payloads)
    assert "".join(part.text for part in parts) == "Perch\u00e9it'sit's"
    assert [part.encoded for part in parts] == [b"data: " + payload + b"\n\n" for payload in payloads[:-1]]
    assert events.end(was_cut=False) == []
    assert events.whole == {"text": "Perch\u00e9it'sit's"}


def test_events_of_text_completions_are_text() -> None:
    """OpenAI's older kind, which some of OPEA's services still write."""
    payload = b'{"object":"text_completion","choices":[{"index":0,"text":"yes","finish_reason":"stop"}]}'
    events, parts = _read(payload)
    assert parts == [StreamPart(b"data: " + payload + b"\n\n", "yes")]
    assert events.whole["choices"][0]["message"]["content"] == "yes"


def test_events_of_plain_text_are_text() -> None:
    """Some services write neither tokens nor JSON."""
    events, parts = _read(b"Ciao", b" a tutti", b"[DONE]")
    assert [part.text for part in parts] == ["Ciao", " a tutti"]
    assert events.done


def test_events_are_held_back_until_one_says_something() -> None:
    """So that an empty stream can still have a status."""
    events, parts = _read(b'{"choices":[{"delta":{"role":"assistant"}}]}')
    assert parts == []
    more = events.read(ServerSentEvent(b'{"choices":[{"delta":{"content":"Ciao"}}]}', "message"))
    assert [part.text for part in more] == ["", "Ciao"]
    assert more[1].encoded.startswith(b"event: message\ndata: ")


@pytest.mark.parametrize(
    ("payloads", "was_cut", "words"),
    [
        ([], False, "without any event"),
        ([b"[DONE]"], False, "without any text"),
        ([b"b'Ciao'"], False, "without a finish_reason"),
        ([b"b'Ciao'", b"[DONE]"], True, "inside an event"),
    ],
)
def test_end_of_a_stream_that_did_not_end_well(payloads: list[bytes], words: str, *, was_cut: bool) -> None:
    """Each says how."""
    events, _parts = _read(*payloads)
    with pytest.raises(ServiceError, match=words):
        events.end(was_cut=was_cut)


def test_end_of_an_answer_that_a_limit_cut_to_nothing() -> None:
    """A telling finish_reason is an answer."""
    events, _parts = _read(b'{"choices":[{"delta":{},"finish_reason":"length"}]}')
    assert len(events.end(was_cut=False)) == 1


@pytest.mark.parametrize("payload", [b'{"error":{"message":"broke"}}', b'{"choices":', b'{"choices":[1]}'])
def test_event_that_is_an_error_or_broken_raises(payload: bytes) -> None:
    """Whatever came before."""
    with pytest.raises(ServiceError, match="node 'llm'"):
        _read(b"b'Ciao'", payload)


@pytest.mark.parametrize("text", ["Ciao a tutti", " two  spaces\n\nand lines ", "\u00e8", ""])
def test_tokens_joined_are_the_text(text: str) -> None:
    """Nothing is lost, and each is one event that reads back."""
    parts = list(TokenChunks().parts(text))
    assert "".join(part.text for part in parts) == text
    events, again = _read(*(part.encoded.removeprefix(b"data: ").strip() for part in parts))
    assert "".join(part.text for part in again) == text
    assert not events.done
    assert encode_token("it's") == b'data: b"it\'s"\n\n'
