"""The pipelines of the gallery end to end: real processes, the embedded model, the files as they are.

Structure is pinned; the model's words only where it is certain.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from servicekit.environment import PROJECT_ROOT
from tests.support.gateway import StreamedAnswer
from tests.support.processes import running_service

#: The endpoint of each pipeline that has its tests here; the other two have theirs in test_translate_and_grade.py.
REFINE, BEST, GUARDED, SWITCH = "/v1/refine", "/v1/best-of-n", "/v1/guarded", "/v1/switch"
HELLO, CIAO = "Hello, how are you?", "Ciao! Come stai?"
OUTSIDE = "Explain quantum entanglement to a lawyer"
BEER = "Good morning. I drink a beer. The dog is big."
#: What the guard of the gallery says.
MESSAGE = "[The rest is not for children.]"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run the services for the tests of this file; give the gateway's address."""
    folder = tmp_path_factory.mktemp("gallery")
    ports: dict[str, str] = {}
    with ExitStack() as stack:
        for module, variable in (
            ("microservices.llm", "LLM_SERVICE_PORT"),
            ("microservices.grader", "GRADER_SERVICE_PORT"),
            ("microservices.retriever", "RETRIEVER_SERVICE_PORT"),
            ("megaservice", "MEGA_SERVICE_PORT"),
        ):
            service = stack.enter_context(
                running_service(module, port_variable=variable, log_folder=folder, environment=dict(ports))
            )
            ports[variable] = str(service.port)
        yield service.url


def _post(url: str, text: str, **more: Any) -> httpx.Response:
    body = {"messages": [{"role": "user", "content": text}], **more}
    return httpx.post(url, json=body, trust_env=False, timeout=30)


def _ask(url: str, text: str, **more: Any) -> dict[str, Any]:
    response = _post(url, text, **more)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def _ask_stream(url: str, text: str, **more: Any) -> StreamedAnswer:
    response = _post(url, text, stream=True, **more)
    assert response.status_code == 200, response.text
    answer = StreamedAnswer(response.status_code, response.headers, response.content)
    assert answer.ended_well
    assert len({chunk["id"] for chunk in answer.chunks}) == 1, "one answer has one id"
    return answer


def _said(answer: dict[str, Any]) -> tuple[str, str]:
    (choice,) = answer["choices"]
    return choice["message"]["content"], choice["finish_reason"]


def test_every_pipeline_of_the_gallery_is_explained() -> None:
    """A file without its paragraph, or a paragraph without its file, would mislead."""
    files = {path.name for path in (PROJECT_ROOT / "compose" / "pipelines").glob("*.yaml")}
    pages = (PROJECT_ROOT / "docs" / "pipelines.md").read_text("utf-8")
    assert {name for name in files if f"compose/pipelines/{name})" not in pages} == set()


def test_refine_accepts_a_good_translation_and_says_how_many_tries_it_took(gateway: str) -> None:
    """JSON and stream say the same; the stream shows the accepted try alone."""
    answer = _ask(gateway + REFINE, HELLO, temperature=0)
    assert _said(answer) == (CIAO, "stop")
    assert (answer["attempts"], answer["grade"]["score"]) == (1, 1.0)
    stream = _ask_stream(gateway + REFINE, HELLO, temperature=0)
    assert stream.text == CIAO
    assert (stream.chunks[-1]["attempts"], stream.chunks[-1]["grade"]) == (1, answer["grade"])


def test_refine_gives_up_after_three_tries(gateway: str) -> None:
    """What cannot be graded is never good; the third try goes out."""
    answer = _ask(gateway + REFINE, OUTSIDE)
    assert (answer["attempts"], answer["grade"]["score"]) == (3, None)
    stream = _ask_stream(gateway + REFINE, OUTSIDE)
    assert stream.text == _said(answer)[0]
    assert (stream.chunks[-1]["attempts"], stream.chunks[-1]["grade"]["score"]) == (3, None)


def test_best_of_n_answers_the_best_and_lists_all(gateway: str) -> None:
    """Three candidates with their temperatures and scores; none has a better score than the answer."""
    answer = _ask(gateway + BEST, HELLO)
    listed = answer["best_of"]["candidates"]
    best = listed[answer["best_of"]["index"]]
    assert [candidate["temperature"] for candidate in listed] == [0, 0.5, 1]
    assert (listed[0]["text"], listed[0]["score"]) == (CIAO, 1.0)
    assert best["score"] == max(candidate["score"] for candidate in listed if candidate["score"] is not None)
    assert _said(answer) == (best["text"], "stop")
    assert answer["usage"]["total_tokens"] == answer["usage"]["prompt_tokens"] + answer["usage"]["completion_tokens"]


def test_best_of_n_streams_the_best_with_the_list_at_the_end(gateway: str) -> None:
    """What is best is known at the end: one delta, then the list."""
    stream = _ask_stream(gateway + BEST, HELLO)
    best_of = stream.chunks[-1]["best_of"]
    assert stream.text == best_of["candidates"][best_of["index"]]["text"]


def test_guarded_stream_lets_a_harmless_answer_through(gateway: str) -> None:
    """Word for word, sentence by sentence."""
    assert _said(_ask(gateway + GUARDED, HELLO)) == (CIAO, "stop")
    stream = _ask_stream(gateway + GUARDED, HELLO)
    deltas = [chunk["choices"][0]["delta"].get("content") for chunk in stream.chunks]
    assert deltas == ["Ciao!", " Come stai?", None]
    assert stream.chunks[-1]["choices"][0]["finish_reason"] == "stop"


def test_guarded_stream_is_cut_at_the_sentence_that_is_denied(gateway: str) -> None:
    """What came before stays, the guard has the last word, and the reason is told."""
    text, reason = _said(_ask(gateway + GUARDED, BEER))
    assert (text, reason) == (f"Buongiorno. {MESSAGE}", "content_filter")
    stream = _ask_stream(gateway + GUARDED, BEER)
    assert stream.text == text
    assert stream.chunks[-1]["choices"][0]["finish_reason"] == "content_filter"
    assert b"birra" not in stream.body


@pytest.mark.parametrize(
    ("text", "hint", "is_translated"),
    [
        ("Good morning!", None, True),
        ("Good morning!", "en", True),
        ("Buongiorno", "it", False),
        ("Ciao, che cosa fai?", None, False),
        ("Good morning!", "it", False),
    ],
)
def test_switch_by_language_takes_the_branch(text: str, hint: str | None, is_translated: bool, gateway: str) -> None:
    """By the caller's hint, else by words. The phrasebook says that it cannot answer in Italian."""
    more = {"metadata": {"language": hint}} if hint else {}
    answer = _ask(gateway + SWITCH, text, **more)
    assert (answer.get("notice", {}).get("code") == "out_of_domain") is not is_translated
    assert (_said(answer)[0] == "Buongiorno!") is is_translated
    assert _ask_stream(gateway + SWITCH, text, **more).text == _said(answer)[0]
