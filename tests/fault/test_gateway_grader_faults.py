"""The grader node fails in every way there is: the answer goes out, and its grade says why it is null."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.faults import ANSWERS, Fault, ids
from tests.support.gateway import (
    GRADE,
    GRADED,
    QUICK,
    ask,
    ask_stream,
    graded_file,
    pending_requests_settle,
    running_gateway,
)
from tests.support.scripted_upstream import Reply, Script

STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
#: What only a grader says.
GRADER_ANSWERS = (
    Fault("score-above-one", scripts.answer(200, {"score": 7}), 502, "upstream_bad_response", "7"),
    Fault("score-as-text", scripts.answer(200, {"score": "good"}), 502, "upstream_bad_response", "good"),
    Fault("score-true", scripts.answer(200, {"score": True}), 502, "upstream_bad_response", "score"),
    Fault(
        "score-missing", scripts.answer(200, {"feedback": "Fine."}), 502, "upstream_bad_response", "without a 'score'"
    ),
    Fault("empty-body", scripts.answer(200, b""), 502, "upstream_bad_response", "JSON"),
    Fault(
        "body-cut",
        scripts.stream(b'{"score": 0.5', scripts.CUT, content_type="application/json"),
        502,
        "upstream_bad_response",
        "in the middle of its answer",
        retryable=True,
    ),
)


def _both(text: str) -> Script:
    """Answer JSON or a stream, as asked."""
    whole, streamed = scripts.completion(text), scripts.openai_stream([text])

    async def script(reply: Reply) -> None:
        await (streamed if reply.request.json.get("stream") else whole)(reply)

    return script


@STREAMED
@pytest.mark.parametrize("fault", [*ANSWERS, *GRADER_ANSWERS], ids=ids)
async def test_grader_failure_leaves_the_answer_with_a_null_grade(
    fault: Fault, stream: bool, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A soft node's failure is the grade's reason; answer, status and [DONE] are as ever."""
    llm = await scripted_upstream(_both("Ciao!"))
    grader_url = refused_url if fault.script is None else (await scripted_upstream(fault.script)).url
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader_url, timeouts=QUICK) as url:
        if stream:
            streamed = await ask_stream(url + GRADED)
            status, text, grade = streamed.status, streamed.text, streamed.chunks[-1]["grade"]
            assert streamed.ended_well
        else:
            response = await ask(url + GRADED)
            answer = response.json()
            status, text, grade = response.status_code, answer["choices"][0]["message"]["content"], answer["grade"]
    assert (status, text) == (200, "Ciao!")
    assert grade.keys() == {"score", "feedback", "error"}
    assert grade["score"] is None
    assert grade["error"] == {"code": fault.code}
    assert fault.words in grade["feedback"]
    assert "node 'grader' at http://127.0.0.1:" in grade["feedback"]
    assert await pending_requests_settle()


async def test_grader_null_with_a_reason_of_its_own_is_passed_on(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """What the grader itself says about a judgement that it could not use reaches the client."""
    grade = {"score": None, "feedback": "no JSON", "error": {"code": "unusable_judgement"}, "model": "m"}
    llm, grader = await scripted_upstream(_both("Ciao!")), await scripted_upstream(scripts.answer(200, grade))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        answer = (await ask(url + GRADED)).json()
    assert answer["grade"] == {"score": None, "feedback": "no JSON", "error": {"code": "unusable_judgement"}}


@STREAMED
async def test_grader_failure_fails_the_request_where_the_pipeline_makes_it_hard(
    stream: bool, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """A hard leaf's failure is the request's: a status in JSON, an error event without [DONE] after a stream."""
    llm = await scripted_upstream(_both("Ciao!"))
    files = [graded_file(llm.url, refused_url, dependency="hard")]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        if stream:
            streamed = await ask_stream(url + GRADED)
            assert (streamed.status, streamed.text, streamed.ended_well) == (200, "Ciao!", False)
            error = streamed.error
        else:
            response = await ask(url + GRADED)
            assert response.status_code == 502
            error = response.json()["error"]
    assert error is not None
    assert error["code"] == "upstream_unreachable"
    assert "node 'grader'" in error["message"]
    assert await pending_requests_settle()


async def test_grader_gets_what_is_left_of_the_deadline(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A deadline that runs out while the grader works ends in a null grade, not in a lost answer."""
    llm, grader = await scripted_upstream(_both("Ciao!")), await scripted_upstream(scripts.silence())
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        response = await ask(url + GRADED, headers={"x-request-timeout-ms": "400"})
    assert response.status_code == 200
    assert response.json()["grade"]["error"] == {"code": "upstream_timeout"}
    assert int(grader.requests[0].headers["x-request-timeout-ms"]) <= 400


async def test_grader_is_asked_with_the_source_and_the_whole_candidate(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A streamed answer is graded as a whole, against the user's message."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao", ", ", "come stai?"]))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        answer = await ask_stream(url + GRADED)
    assert orjson.loads(grader.requests[0].body) == {"source": "Hello, how are you?", "candidate": "Ciao, come stai?"}
    assert answer.chunks[-1]["grade"] == {"score": 0.9, "feedback": "Faithful."}
