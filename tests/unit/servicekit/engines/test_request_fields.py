"""Which fields a server is sent: by its kind, by the route, by who wrote them."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from comps.cores.proto.docarray import LLMParams

from servicekit.engines import request_fields
from servicekit.engines.request_fields import (
    ANY_SERVER,
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    LITELLM,
    LLAMA_CPP,
    OLLAMA,
    OPENAI,
    RequestFields,
    Route,
    ServerKind,
    configured_doubts,
    kind_of,
)
from servicekit.models import Deployment

KINDS = {"any server": ANY_SERVER, "openai": OPENAI, "ollama": OLLAMA, "llama.cpp": LLAMA_CPP, "litellm": LITELLM}
KNOWN = {"temperature": 0.5, "seed": 1}


def chosen(
    kind: ServerKind, payload: dict[str, Any], configured: dict[str, Any] | None = None, route: Route = CHAT
) -> dict[str, Any]:
    """Return what a server of that kind is sent."""
    return RequestFields("the server", kind).chosen(route, payload, configured or {})


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_configured_parameters_are_sent_as_written_to_every_kind(kind: ServerKind) -> None:
    """Also those that no request may name there; the request's own value wins where it may name it."""
    written = {
        "chat_template_kwargs": {"a": 1},
        "max_new_tokens": 7,
        "repeat_last_n": 2,
        "api_base": "x",
        "temperature": 0.2,
    }
    asked = {"messages": [], "max_new_tokens": 8, "repeat_last_n": 9, "api_base": "y", "temperature": 1}
    sent = chosen(kind, asked, written)
    is_open = kind in (ANY_SERVER, OLLAMA)
    of_request = {"temperature": 1, **({"repeat_last_n": 9, "api_base": "y"} if is_open else {})}
    assert sent == {**written, **of_request}


@pytest.mark.parametrize(
    ("kind", "passes"),
    [
        ("any server", {"top_k", "min_p", "repetition_penalty", "guided_json", "own"}),
        ("ollama", {"top_k", "min_p", "repetition_penalty", "guided_json", "own"}),
        ("openai", set[str]()),
        ("llama.cpp", {"top_k", "min_p"}),
        ("litellm", {"top_k"}),
    ],
)
def test_a_requests_other_fields_are_sent_where_the_server_may_have_them(kind: str, passes: set[str]) -> None:
    """Those of OpenAI's API always are."""
    others = dict.fromkeys(("top_k", "min_p", "repetition_penalty", "guided_json", "own"), 1)
    sent = chosen(KINDS[kind], {"messages": [], "model": "m", "stream": True, **KNOWN, **others})
    assert sent == {**KNOWN, **dict.fromkeys(passes, 1)}


@pytest.mark.parametrize("kind", ["any server", "openai", "ollama", "litellm"])
def test_a_request_in_opeas_form_is_sent_openais_fields_alone(kind: str) -> None:
    """Stock OPEA puts every default of LLMParams into every request; strict servers would refuse them all."""
    bundle = {name: value for name, value in LLMParams().model_dump().items() if value is not None}
    sent = chosen(KINDS[kind], {"messages": [], **bundle})
    openais = {"max_tokens", "top_p", "temperature", "frequency_penalty", "presence_penalty"}
    assert sent.keys() == openais
    assert chosen(KINDS[kind], {"messages": [], **bundle}, {"top_k": 3}) == {"top_k": 3, **sent}


def test_one_field_of_opeas_is_left_out_and_takes_nothing_with_it() -> None:
    """It may be anybody's, such as a pipeline's `language`."""
    assert chosen(ANY_SERVER, {"messages": [], "language": "it", "top_k": 3}) == {"top_k": 3}


@pytest.mark.parametrize(
    ("route", "sent"),
    [
        (CHAT, {"temperature", "max_completion_tokens", "tools", "top_k", "dimensions", "input_type", "reasoning"}),
        (COMPLETIONS, {"temperature", "top_k", "dimensions", "input_type"}),
        (EMBEDDINGS, {"dimensions", "input_type"}),
    ],
)
def test_configured_parameters_of_another_route_are_not_sent(route: Route, sent: set[str]) -> None:
    """An alias may write and make vectors: OpenAI's /embeddings would refuse a temperature."""
    names = ("temperature", "max_completion_tokens", "tools", "top_k", "dimensions", "input_type", "reasoning")
    assert chosen(ANY_SERVER, {}, dict.fromkeys(names, 1), route).keys() == sent


@pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
def test_a_requests_token_limit_leaves_no_configured_one(name: str) -> None:
    """Both names are of one parameter."""
    assert chosen(ANY_SERVER, {name: 5}, {"max_tokens": 9, "top_k": 1}) == {name: 5, "top_k": 1}


def test_what_is_left_out_is_told_once_with_the_remedy(caplog: pytest.LogCaptureFixture) -> None:
    """Each name on one line, not again for the next request; nothing of what the operator configured."""
    fields = RequestFields("the server", LLAMA_CPP)
    for _ in range(2):
        fields.chosen(CHAT, {"repetition_penalty": 1.1, "repeat_last_n": 2, "a\nb": 1}, {"repeat_last_n": 1})
    assert [record.getMessage() for record in caplog.records] == [
        "the server: the field 'a\\nb' of requests is not sent: llama.cpp has no such parameter for requests.",
        "the server: the field 'repetition_penalty' of requests is not sent: llama.cpp has no such parameter for "
        "requests. Did you mean 'repeat_penalty'?",
    ]


@pytest.mark.parametrize(
    ("kind", "payload", "words"),
    [
        ("any server", {"max_new_tokens": 1}, "not sent: it is OPEA's"),
        ("openai", {"top_k": 1}, "not sent: OpenAI's API is not known to have it"),
        ("ollama", {"top_k": 1}, "sent, but Ollama's OpenAI API is not known to have it"),
        ("litellm", {"min_p": 1}, "not sent: LiteLLM's providers get"),
        ("litellm", {"language": "auto", "text": "x", "top_k": 1}, "'top_k' of requests is not sent: the request is"),
    ],
)
def test_the_log_says_why_a_field_is_not_sent(
    kind: str, payload: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And where it is to be written instead."""
    chosen(KINDS[kind], payload)
    assert words in caplog.text
    assert "`parameters` of the alias in compose/models.json" in caplog.text or "Modelfile" in caplog.text


@pytest.mark.parametrize("configured", [{}, {"frequency_penalty": 1}], ids=["asked", "configured"])
def test_a_parameter_that_is_left_out_on_the_way_is_told(
    configured: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """LiteLLM leaves out what a provider does not have, whoever wrote it."""
    fields = RequestFields("the server", LITELLM, frozenset({"frequency_penalty"}))
    fields.chosen(CHAT, {} if configured else {"frequency_penalty": 1}, configured)
    (record,) = caplog.records
    assert (
        "'frequency_penalty' of requests is not sent: LiteLLM says that the model does not have it"
        in record.getMessage()
    )


def test_the_log_is_not_filled_by_names_that_callers_invent(caplog: pytest.LogCaptureFixture) -> None:
    """Nor is memory: so many lines for each server, of so many characters."""
    fields = RequestFields("the server", LLAMA_CPP)
    fields.chosen(CHAT, {f"{number}{'x' * 1000}": 1 for number in range(200)}, {})
    assert len(caplog.records) == request_fields._MOST_TOLD
    assert all(len(record.getMessage()) < 250 for record in caplog.records)


def test_a_server_that_takes_what_comes_is_no_reason_to_log(caplog: pytest.LogCaptureFixture) -> None:
    """What OpenAI's API has and what a vLLM may have."""
    caplog.set_level(logging.DEBUG)
    chosen(ANY_SERVER, {"messages": [], **KNOWN, "top_k": 1}, {"chat_template_kwargs": {}})
    assert caplog.records == []


@pytest.mark.parametrize(
    ("kind", "names", "expected"),
    [
        (LLAMA_CPP, ["top_k", "repeat_last_n", "temperature", "max_completion_tokens"], 0),
        (LLAMA_CPP, ["repetition_penalty", "guided_json"], 2),
        (OLLAMA, ["temperature", "top_k", "num_ctx"], 2),
        (ANY_SERVER, ["anything"], 0),
        (OPENAI, ["anything"], 0),
        (LITELLM, ["anything"], 0),
    ],
)
def test_configured_parameters_that_a_server_would_ignore_are_known(
    kind: ServerKind, names: list[str], expected: int
) -> None:
    """A server that refuses them says so itself."""
    assert len(configured_doubts(kind, names)) == expected


@pytest.mark.parametrize(
    ("provider", "base_url", "kind"),
    [
        ("embedded", None, LLAMA_CPP),
        ("ollama", None, OLLAMA),
        ("groq", None, LITELLM),
        ("openai_compatible", "http://gpu-box:8000/v1", ANY_SERVER),
        ("openai_compatible", "https://api.openai.com/v1", OPENAI),
        ("openai_compatible", "https://mine.openai.azure.com/openai/v1", OPENAI),
        ("openai_compatible", "https://api.openai.com.example.org/v1", ANY_SERVER),
    ],
)
def test_the_kind_of_a_server_is_known_by_its_provider_and_host(
    provider: str, base_url: str | None, kind: ServerKind
) -> None:
    """OpenAI itself refuses what it does not know, whatever it is called in models.json."""
    assert kind_of(Deployment(provider=provider, model="m", base_url=base_url)) is kind
