"""Streams through hand-registered services: sentences, fan-out, several answers, what is attached, failures."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any

import orjson
import pytest
from comps import MicroService, ServiceType
from comps.cores.proto.docarray import LLMParams
from prometheus_client import REGISTRY

from megaservice import ServiceOrchestrator
from megaservice.orchestration.errors import ScheduleError
from tests.conftest import UpstreamFactory
from tests.support.gateway import pending_requests_settle
from tests.support.megaservices import (
    CHAT_PATH,
    LLM,
    MESSAGES,
    chunks_in,
    error_in,
    flow,
    read,
    remote,
    shouting,
    text_of_chunks,
    tokens,
)
from tests.support.scripted_upstream import Script, ScriptedUpstream
from tests.support.scripts import (
    CUT,
    DONE,
    answer,
    close_without_answer,
    completion,
    encode_chunk,
    error_event,
    fastapi_error,
    openai_error,
    openai_events,
    openai_stream,
    stream,
)

TEXTS = ["Ciao", "! Come", " stai? Be", "ne."]
INPUTS = {"messages": MESSAGES}
GUARD = "guard/MicroService"


def _guard(upstream: ScriptedUpstream, name: str = "guard") -> MicroService:
    return remote(name, upstream, "/v1/guard", ServiceType.UNDEFINED)


def _grader(upstream: ScriptedUpstream) -> MicroService:
    return remote("grader", upstream, "/v1/grade", ServiceType.UNDEFINED, output_datatype=dict)


async def test_stream_of_openai_chunks_passes_unchanged(scripted_upstream: UpstreamFactory) -> None:
    """Every byte of every event, one event per item."""
    events = openai_events(TEXTS)
    llm = await scripted_upstream(stream(b"".join(events)))
    result_dict, graph = await flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH)).schedule(INPUTS)
    assert [item async for item in result_dict[LLM].body_iterator] == events
    assert result_dict[LLM].media_type == "text/event-stream"
    assert graph.all_leaves() == [LLM]


async def test_stream_of_opea_tokens_passes_unchanged(scripted_upstream: UpstreamFactory) -> None:
    """`data: b'...'`, as OPEA's text services write it; `extract_chunk_str` takes each item."""
    llm = await scripted_upstream(tokens("Perch\u00e9", " no?"))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, "/v1/generate"))
    result_dict, _graph = await megaservice.schedule({"query": "x"})
    items = [item async for item in result_dict[LLM].body_iterator]
    assert b"".join(items) == b"data: b'Perch\\xc3\\xa9'\n\ndata: b' no?'\n\ndata: [DONE]\n\n"
    assert [megaservice.extract_chunk_str(item) for item in items] == ["Perch\\xc3\\xa9", " no?", ""]


async def test_guard_gets_each_sentence_and_streams_tokens(scripted_upstream: UpstreamFactory) -> None:
    """Stock's contract for TextDoc services behind an LLM: the result is under the guard's key, one token per item."""
    llm, guard = await scripted_upstream(openai_stream(TEXTS)), await scripted_upstream(shouting())
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH), _guard(guard))
    result_dict, graph = await megaservice.schedule(INPUTS)
    assert list(result_dict) == graph.all_leaves() == [GUARD]
    items = [item async for item in result_dict[GUARD].body_iterator]
    assert [request.json for request in guard.requests] == [
        {"text": "Ciao!"},
        {"text": " Come stai?"},
        {"text": " Bene."},
    ]
    assert items == [b"data: b'CIAO!'\n\n", b"data: b' COME '\n\n", b"data: b'STAI?'\n\n", b"data: b' BENE.'\n\n", DONE]
    assert [megaservice.extract_chunk_str(item) for item in items] == ["CIAO!", " COME ", "STAI?", " BENE.", ""]


async def test_guards_in_a_row_and_a_guard_behind_opea_tokens(scripted_upstream: UpstreamFactory) -> None:
    """Each works on the stream of the one before; text outside ASCII stays whole."""
    llm = await scripted_upstream(tokens("Perch", "\u00e9 no?", " S\u00ec."))
    first, second = await scripted_upstream(shouting()), await scripted_upstream(shouting())
    services = remote("llm", llm, "/v1/generate"), _guard(first, "first"), _guard(second, "second")
    result_dict, _graph = await flow(ServiceOrchestrator(), *services).schedule({"query": "x"})
    await read(result_dict["second/MicroService"])
    assert [request.json["text"] for request in second.requests] == ["PERCH\u00c9 NO?", " S\u00cc."]


async def test_guard_answers_before_the_llm_has_ended(scripted_upstream: UpstreamFactory) -> None:
    """The stream flows through both."""
    llm = await scripted_upstream(openai_stream(TEXTS, gap_seconds=0.05))
    guard = await scripted_upstream(shouting())
    services = remote("llm", llm, CHAT_PATH), _guard(guard)
    result_dict, _graph = await flow(ServiceOrchestrator(), *services).schedule(INPUTS)
    assert llm.requests[0].answered_at is None
    await read(result_dict[GUARD])


async def test_grader_gets_the_whole_text_and_travels_in_the_last_chunk(scripted_upstream: UpstreamFactory) -> None:
    """Stock's row "`llm >> grader`, streaming": the translation was lost, the grader got raw events."""
    llm, grader = await scripted_upstream(openai_stream(TEXTS)), await scripted_upstream(answer(200, {"score": 0.9}))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH), _grader(grader))
    result_dict, graph = await megaservice.schedule(INPUTS)
    assert list(result_dict) == graph.all_leaves() == [LLM]
    body = await read(megaservice.get_all_final_outputs(result_dict, graph)[LLM])
    assert text_of_chunks(body) == "Ciao! Come stai? Bene."
    assert [request.json["text"] for request in grader.requests] == ["Ciao! Come stai? Bene."]
    last = chunks_in(body)[-1]
    assert (last["choices"], last["grader"], last["id"]) == ([], {"score": 0.9}, "chatcmpl-scripted")
    assert body.endswith(DONE)


async def test_fan_out_behind_a_stream(scripted_upstream: UpstreamFactory) -> None:
    """Stock's row "fan-out behind a streaming LLM": an AssertionError. The guard answers, the grader is attached."""
    llm = await scripted_upstream(openai_stream(TEXTS))
    guard, grader = await scripted_upstream(shouting()), await scripted_upstream(answer(200, {"score": 0.9}))
    first, second = _guard(guard), _grader(grader)
    source = remote("llm", llm, CHAT_PATH)
    megaservice = flow(ServiceOrchestrator(), source, first)
    megaservice.add(second)
    megaservice.flow_to(source, second)
    result_dict, _graph = await megaservice.schedule(INPUTS)
    body = await read(result_dict[GUARD])
    assert body.startswith(b"data: b'CIAO!'\n\n")
    assert chunks_in(body) == [{"object": "chat.completion.chunk", "choices": [], "grader": {"score": 0.9}}]
    assert len(llm.requests) == 1


async def test_llms_in_a_row_stream_the_last_ones_answer(scripted_upstream: UpstreamFactory) -> None:
    """The second gets the whole text as its one user message, and the model that the request names."""
    first, second = await scripted_upstream(completion("Ciao!")), await scripted_upstream(openai_stream(["Salve!"]))
    services = remote("first", first, CHAT_PATH), remote("second", second, CHAT_PATH)
    result_dict, _graph = await flow(ServiceOrchestrator(), *services).schedule({**INPUTS, "model": "m"})
    assert text_of_chunks(await read(result_dict["second/MicroService"])) == "Salve!"
    assert not first.requests[0].json["stream"]
    messages = [{"role": "user", "content": "Ciao!"}]
    assert second.requests[0].json == {"messages": messages, "model": "m", "stream": True}


async def test_llms_side_by_side_each_have_a_stream(scripted_upstream: UpstreamFactory) -> None:
    """Read in any order; the one that nobody takes is cancelled."""
    ups = [await scripted_upstream(openai_stream([name] * 3)) for name in "ab"]
    megaservice = ServiceOrchestrator()
    for name, upstream in zip("ab", ups, strict=True):
        megaservice.add(remote(name, upstream, CHAT_PATH))
    result_dict, graph = await megaservice.schedule(INPUTS)
    assert graph.all_leaves() == ["a/MicroService", "b/MicroService"]
    second, first = await read(result_dict["b/MicroService"]), await read(result_dict["a/MicroService"])
    assert (text_of_chunks(first), text_of_chunks(second)) == ("aaa", "bbb")
    assert await pending_requests_settle()


async def test_stream_that_is_dropped_unread_is_cancelled(scripted_upstream: UpstreamFactory) -> None:
    """Published megaservices return the first stream that they find and forget the other."""
    quick = await scripted_upstream(openai_stream(["a"]))
    slow = await scripted_upstream(openai_stream(["b"] * 500, gap_seconds=0.01))
    megaservice = ServiceOrchestrator().add(remote("a", quick, CHAT_PATH)).add(remote("b", slow, CHAT_PATH))
    result_dict, _graph = await megaservice.schedule(INPUTS)
    response = result_dict["a/MicroService"]
    del result_dict, _graph
    gc.collect()
    assert text_of_chunks(await read(response)) == "a"
    await slow.wait_until_idle()
    assert slow.requests[0].client_left_at is not None
    assert await pending_requests_settle()


async def test_guards_of_one_stream_can_be_read_one_after_the_other(scripted_upstream: UpstreamFactory) -> None:
    """What the second has not read yet waits for it."""
    llm, guard = await scripted_upstream(openai_stream(["One. "] * 50)), await scripted_upstream(shouting())
    source, first, second = remote("llm", llm, CHAT_PATH), _guard(guard, "first"), _guard(guard, "second")
    megaservice = flow(ServiceOrchestrator(), source, first)
    megaservice.add(second)
    megaservice.flow_to(source, second)
    result_dict, _graph = await megaservice.schedule(INPUTS)
    bodies = [await read(result_dict[f"{name}/MicroService"]) for name in ("first", "second")]
    assert bodies[0] == bodies[1]
    assert bodies[0].count(b"ONE.") == 50
    assert len(llm.requests) == 1


async def test_guard_beside_an_llm_that_needs_the_whole(scripted_upstream: UpstreamFactory) -> None:
    """The first LLM must end before the second can begin, so nobody's reading may pace it."""
    llm, guard = await scripted_upstream(completion("One. Two.")), await scripted_upstream(shouting())
    second = await scripted_upstream(openai_stream(["Due."]))
    source, text = remote("llm", llm, CHAT_PATH), _guard(guard)
    megaservice = flow(ServiceOrchestrator(), source, remote("second", second, CHAT_PATH))
    megaservice.add(text)
    megaservice.flow_to(source, text)
    result_dict, _graph = await megaservice.schedule(INPUTS)
    assert text_of_chunks(await read(result_dict["second/MicroService"])) == "Due."
    assert await read(result_dict[GUARD]) == b"data: b'ONE.'\n\ndata: b' TWO.'\n\ndata: [DONE]\n\n"
    assert [request.json["text"] for request in guard.requests] == ["One.", " Two."]


async def test_judge_of_two_streams_travels_with_the_one_that_is_read(scripted_upstream: UpstreamFactory) -> None:
    """It sees the text of that one alone; read both, and it sees both and comes in the last one's end."""
    ups = [await scripted_upstream(openai_stream([name] * 3)) for name in "ab"]
    grader = await scripted_upstream(answer(200, {"score": 1}))
    megaservice, judge = ServiceOrchestrator(), _grader(grader)
    services = [remote(name, upstream, CHAT_PATH) for name, upstream in zip("ab", ups, strict=True)]
    for service in (*services, judge):
        megaservice.add(service)
    assert all(megaservice.flow_to(service, judge) for service in services)
    result_dict, _graph = await megaservice.schedule(INPUTS)
    del result_dict["b/MicroService"]
    gc.collect()
    body = await read(result_dict["a/MicroService"])
    assert chunks_in(body)[-1]["grader"] == {"score": 1}
    assert grader.requests[0].json["text"] == "aaa"
    result_dict, _graph = await megaservice.schedule(INPUTS)
    first, last = await asyncio.gather(*(read(response) for response in result_dict.values()))
    assert b"grader" not in first
    assert chunks_in(last)[-1]["grader"] == {"score": 1}
    assert await pending_requests_settle()


async def test_other_branches_end_before_the_results_are_there(scripted_upstream: UpstreamFactory) -> None:
    """A service beside the streaming LLM has its output in the result, not in the stream."""
    llm = await scripted_upstream(openai_stream(["a"]))
    side = await scripted_upstream(answer(200, {"text": "x"}))
    megaservice = ServiceOrchestrator().add(remote("llm", llm, CHAT_PATH))
    megaservice.add(remote("side", side, "/side", ServiceType.RETRIEVER))
    result_dict, _graph = await megaservice.schedule(INPUTS)
    assert result_dict["side/MicroService"] == {"text": "x"}
    assert await read(result_dict[LLM])


async def test_service_that_answers_json_where_a_stream_was_asked(scripted_upstream: UpstreamFactory) -> None:
    """Its text becomes tokens."""
    llm = await scripted_upstream(answer(200, {"text": "Ciao a tutti"}))
    result_dict, _graph = await flow(ServiceOrchestrator(), remote("llm", llm, "/v1/generate")).schedule({"query": "x"})
    assert await read(result_dict[LLM]) == b"data: b'Ciao '\n\ndata: b'a '\n\ndata: b'tutti'\n\ndata: [DONE]\n\n"


GOOD = openai_events(["Ciao", "!"], finish_reason=None, usage=None, done=False)
FIRST_FAILURES: dict[str, tuple[Script, int]] = {
    "refused with 500": (openai_error(500), 502),
    "refused with 400": (openai_error(400), 400),
    "no answer": (close_without_answer(), 502),
    "empty": (stream(), 502),
    "only [DONE]": (stream(DONE), 502),
    "no text": (openai_stream([]), 502),
    "error first": (stream(error_event()), 502),
    "error by name": (stream(b'event: error\ndata: {"message": "it broke"}\n\n'), 502),
    "no chunk": (stream(b'data: {"choices": [7]}\n\n', DONE), 502),
    "broken JSON": (stream(b'data: {"choices": [\n\n', DONE), 502),
}
LATER_FAILURES: dict[str, Script] = {
    "error event": stream(*GOOD, 0.02, error_event()),
    "cut": stream(*GOOD, 0.02, b'data: {"cho', CUT),
    "closed inside an event": stream(*GOOD, 0.02, b'data: {"cho'),
    "no end": stream(*GOOD, 0.02),
}


@pytest.mark.parametrize(("script", "status"), FIRST_FAILURES.values(), ids=FIRST_FAILURES.keys())
async def test_failure_before_the_first_event_is_a_schedule_error(
    scripted_upstream: UpstreamFactory, script: Script, status: int
) -> None:
    """Stock's row "upstream 500, streaming": 200 and an empty body. And "a node fails": the gauge stayed up."""
    llm = await scripted_upstream(script)
    with pytest.raises(ScheduleError) as caught:
        await flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH)).schedule(INPUTS)
    assert caught.value.status_code == status
    assert "node 'llm'" in caught.value.error.message
    assert await pending_requests_settle()


@pytest.mark.parametrize("script", LATER_FAILURES.values(), ids=LATER_FAILURES.keys())
async def test_failure_after_the_first_event_is_one_error_event(
    scripted_upstream: UpstreamFactory, script: Script
) -> None:
    """What was good stays; no `[DONE]`."""
    llm = await scripted_upstream(script)
    result_dict, _graph = await flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH)).schedule(INPUTS)
    body = await read(result_dict[LLM])
    assert text_of_chunks(body) == "Ciao!"
    assert "node 'llm'" in error_in(body)["message"]
    assert await pending_requests_settle()


async def test_guard_and_grader_that_fail_midway_end_the_stream(scripted_upstream: UpstreamFactory) -> None:
    """After the first event: the error names who failed, and the LLM's stream is cancelled."""
    llm = await scripted_upstream(openai_stream(TEXTS * 50, gap_seconds=0.01), openai_stream(TEXTS))
    guard, grader = await scripted_upstream(shouting(), openai_error(500)), await scripted_upstream(openai_error(503))
    guarded = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH), _guard(guard))
    result_dict, _graph = await guarded.schedule(INPUTS)
    assert "node 'guard'" in error_in(await read(result_dict[GUARD]))["message"]
    await llm.wait_until_idle()
    assert llm.requests[0].client_left_at is not None
    graded = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH), _grader(grader))
    result_dict, _graph = await graded.schedule(INPUTS)
    body = await read(result_dict[LLM])
    assert (text_of_chunks(body), error_in(body)["code"]) == ("Ciao! Come stai? Bene.", "upstream_error")
    assert await pending_requests_settle()


@pytest.mark.parametrize("script", [answer(200, {"score": 1}), fastapi_error(422)])
async def test_service_behind_a_stream_that_is_no_text_service_says_what_to_declare(
    scripted_upstream: UpstreamFactory, script: Script
) -> None:
    """Nothing tells a grader from a guard where neither declares what it answers."""
    llm = await scripted_upstream(openai_stream(TEXTS))
    grader = await scripted_upstream(script)
    services = remote("llm", llm, CHAT_PATH), remote("grader", grader, "/grade", ServiceType.UNDEFINED)
    with pytest.raises(ScheduleError, match="declare its service_type or its output_datatype"):
        await flow(ServiceOrchestrator(), *services).schedule(INPUTS)


@pytest.mark.parametrize("stream", [True, False])
async def test_failing_sibling_cancels_the_others(scripted_upstream: UpstreamFactory, *, stream: bool) -> None:
    """Stock's row "a node fails": siblings ran on."""
    slow, broken = (
        await scripted_upstream(completion("x", after_seconds=30)),
        await scripted_upstream(openai_error(500)),
    )
    megaservice = ServiceOrchestrator().add(remote("slow", slow, CHAT_PATH)).add(remote("broken", broken, CHAT_PATH))
    with pytest.raises(ScheduleError, match="node 'broken'"):
        await megaservice.schedule(INPUTS, LLMParams(stream=stream))
    await slow.wait_until_idle()
    assert slow.requests[0].client_left_at is not None
    assert await pending_requests_settle()


async def test_four_streams_take_the_time_of_one(scripted_upstream: UpstreamFactory) -> None:
    """Stock's row "4 concurrent streams": a blocking POST made them wait for each other."""
    llm = await scripted_upstream(openai_stream(["Ciao"], headers_after_seconds=0.3))
    megaservice = flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH))

    async def ask() -> bytes:
        result_dict, _graph = await megaservice.schedule(INPUTS)
        return await read(result_dict[LLM])

    start = time.monotonic()
    bodies = await asyncio.gather(*(ask() for _ in range(4)))
    assert time.monotonic() - start < 0.9
    assert llm.most_open_count == 4
    assert all(text_of_chunks(body) == "Ciao" for body in bodies)


def _sample(name: str) -> float:
    return REGISTRY.get_sample_value(name) or 0.0


async def test_metrics_under_stocks_names_have_right_values(scripted_upstream: UpstreamFactory) -> None:
    """One first token, a gap for each further event, one request; pending is zero."""
    names = [f"megaservice_{kind}_count" for kind in ("first_token_latency", "inter_token_latency", "request_latency")]
    before = [_sample(name) for name in names]
    llm = await scripted_upstream(stream(*openai_events(["a", "b", "c"], finish_reason=None, usage=None)))
    result_dict, _graph = await flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH)).schedule(INPUTS)
    assert _sample("megaservice_request_pending") == 1
    await read(result_dict[LLM])
    assert [_sample(name) - old for name, old in zip(names, before, strict=True)] == [1, 2, 1]
    assert await pending_requests_settle()


async def test_audio_behind_a_stream_is_attached_as_base64(scripted_upstream: UpstreamFactory) -> None:
    """A text-to-speech service gets the whole text once."""
    llm = await scripted_upstream(openai_stream(["Ciao"]))
    tts = await scripted_upstream(answer(200, b"WAVE", content_type="audio/wav"))
    services = remote("llm", llm, CHAT_PATH), remote("tts", tts, "/v1/audio/speech", ServiceType.TTS)
    result_dict, _graph = await flow(ServiceOrchestrator(), *services).schedule(INPUTS)
    assert chunks_in(await read(result_dict[LLM]))[-1]["tts"] == "V0FWRQ=="


async def test_tool_calls_are_no_empty_stream(scripted_upstream: UpstreamFactory) -> None:
    """A delta without text may say something."""
    call: list[dict[str, Any]] = [
        {"index": 0, "delta": {"tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}"}}]}}
    ]
    llm = await scripted_upstream(stream(encode_chunk(call), DONE))
    result_dict, _graph = await flow(ServiceOrchestrator(), remote("llm", llm, CHAT_PATH)).schedule(INPUTS)
    body = await read(result_dict[LLM])
    assert orjson.loads(body.split(b"\n\n")[0].removeprefix(b"data: "))["choices"] == call
