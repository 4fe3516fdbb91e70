"""How answers of a model that knows its limits are marked."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from servicekit.engines.notices import MarkerStripper, NoticeMarker
from servicekit.model_profile import ModelProfile, OutOfDomain
from servicekit.openai.chat import ChatObject

MARKER = "<|outside|>"
OUTSIDE = OutOfDomain(marker=MARKER, code="out_of_domain", message="I only know my phrasebook.")
PROFILE = ModelProfile(name="m", notice="It only translates.", out_of_domain=OUTSIDE)
SYSTEM = {"role": "system", "content": "Translate."}
USER = {"role": "user", "content": "Hello"}
OUT_OF_DOMAIN = {"code": "out_of_domain", "message": "I only know my phrasebook."}
TRANSLATION_ONLY = {"code": "translation_only", "message": "It only translates."}

texts = st.one_of(
    st.text(max_size=30),
    st.text(max_size=30).map(lambda text: MARKER + text),
    st.integers(0, len(MARKER)).map(lambda length: MARKER[:length]),
    st.text(alphabet="<|outside>", max_size=30),
)


def split(text: str, cuts: list[int]) -> list[str]:
    """Cut a text at the given places."""
    places = sorted({0, len(text), *(cut % (len(text) + 1) for cut in cuts)})
    return [text[start:end] for start, end in pairwise(places)]


def expected(text: str) -> str:
    """Return what must be left of a text."""
    if not text.startswith(MARKER):
        return text
    return text.removeprefix(MARKER).lstrip() or OUTSIDE.message


def stream_of(pieces: list[str]) -> list[ChatObject]:
    """Build the chunks of a stream: role, pieces, finish, usage."""
    deltas: list[tuple[dict[str, Any], str | None]] = [({"role": "assistant", "content": ""}, None)]
    deltas += [({"content": piece}, None) for piece in pieces]
    deltas += [({}, "stop")]
    chunks: list[ChatObject] = [
        {"id": "c", "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]} for delta, reason in deltas
    ]
    return [*chunks, {"id": "c", "choices": [], "usage": {"total_tokens": 1}}]


def completion_of(text: str | None) -> ChatObject:
    """Build a JSON answer."""
    message = {"role": "assistant", "content": text}
    return {"id": "c", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def mark_stream(marker: NoticeMarker, chunks: list[ChatObject]) -> list[ChatObject]:
    """Pass a whole stream through."""
    return [out for chunk in copy.deepcopy(chunks) for out in marker.chunk(chunk)]


def text_of(chunks: list[ChatObject]) -> str:
    """Join a stream's text."""
    return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])


@given(texts, st.lists(st.integers(0, 60), max_size=12))
def test_stripper_result_does_not_depend_on_the_pieces(text: str, cuts: list[int]) -> None:
    """However a text is split, the same is left of it and the same is found."""
    stripper = MarkerStripper(OUTSIDE)
    result = "".join(stripper.feed(piece) for piece in split(text, cuts)) + stripper.end()
    assert result == expected(text)
    assert stripper.found is text.startswith(MARKER)


@given(texts.filter(bool), st.lists(st.integers(0, 60), max_size=12))
def test_stream_and_json_are_marked_alike(text: str, cuts: list[int]) -> None:
    """The concatenated stream equals the JSON answer, and so does the notice, which the first chunk carries."""
    answer = NoticeMarker(PROFILE, [USER]).completion(completion_of(text))
    chunks = mark_stream(NoticeMarker(PROFILE, [USER]), stream_of(split(text, cuts)))
    assert text_of(chunks) == answer["choices"][0]["message"]["content"]
    assert chunks[0]["notice"] == answer["notice"]
    assert all("notice" not in chunk for chunk in chunks[1:])
    assert chunks[-1]["usage"] == {"total_tokens": 1}


def test_out_of_domain_wins_over_translation_only() -> None:
    """One answer has one notice."""
    answer = NoticeMarker(PROFILE, [USER]).completion(completion_of(MARKER + "Sorry."))
    assert answer["notice"] == OUT_OF_DOMAIN
    assert answer["choices"][0]["message"]["content"] == "Sorry."


@pytest.mark.parametrize("role", ["system", "developer"])
def test_translation_only_is_not_said_to_who_gave_a_system_message(role: str) -> None:
    """Who gives the task knows it."""
    answer = NoticeMarker(PROFILE, [{"role": role, "content": "Translate."}, USER]).completion(completion_of("Ciao"))
    assert "notice" not in answer


def test_translation_only_is_said_without_a_system_message() -> None:
    """A chat client learns that this model only translates."""
    assert NoticeMarker(PROFILE, [USER]).completion(completion_of("Ciao"))["notice"] == TRANSLATION_ONLY


def test_general_model_is_not_touched() -> None:
    """Without a profile nothing is stripped, marked or held back."""
    chunks = stream_of([MARKER, "x"])
    marker = NoticeMarker(None, [USER])
    assert [marker.chunk(chunk) for chunk in chunks] == [[chunk] for chunk in chunks]
    assert NoticeMarker(None, [USER]).completion(completion_of(MARKER)) == completion_of(MARKER)


def test_stream_is_held_only_while_the_marker_is_possible() -> None:
    """The first piece that cannot become the marker lets everything go at once."""
    marker = NoticeMarker(PROFILE, [SYSTEM])
    role, piece, *_ = stream_of(["Ciao"])
    assert marker.chunk(role) == []
    assert marker.chunk(piece) == [role, piece]


def test_stream_without_text_is_passed_on_at_its_end() -> None:
    """A stream that only calls a tool has no text to wait for."""
    call = {"id": "c", "choices": [{"index": 0, "delta": {"tool_calls": [{"id": "t"}]}, "finish_reason": None}]}
    assert NoticeMarker(PROFILE, [SYSTEM]).chunk(call) == [call]


def test_answer_without_text_is_left_alone() -> None:
    """A tool call has no text to strip."""
    assert NoticeMarker(PROFILE, [SYSTEM]).completion(completion_of(None)) == completion_of(None)


def test_every_choice_is_stripped() -> None:
    """With n > 1 each choice has its own start."""
    answer = completion_of("Ciao")
    answer["choices"].append({**copy.deepcopy(answer["choices"][0]), "index": 1})
    answer["choices"][1]["message"]["content"] = MARKER + "Sorry."
    marked = NoticeMarker(PROFILE, [SYSTEM]).completion(answer)
    assert [choice["message"]["content"] for choice in marked["choices"]] == ["Ciao", "Sorry."]
