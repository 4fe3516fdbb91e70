"""The assistants' HTTP contract: objects, lists, errors, with and without /v1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest_asyncio

from tests.support.assistants import (
    assistants_at,
    assistants_client,
    client_of,
    finished_run,
    make,
    make_assistant,
    make_thread,
)
from tests.support.scripted_gateway import GRADED, GREETER, SLOW

ASSISTANT_FIELDS = {
    "id", "object", "created_at", "name", "description", "model", "instructions", "tools", "metadata",
    "tool_resources", "temperature", "top_p", "response_format", "reasoning_effort",
}  # fmt: skip
MESSAGE_FIELDS = {
    "id", "object", "created_at", "thread_id", "status", "incomplete_details", "completed_at", "incomplete_at",
    "role", "content", "assistant_id", "run_id", "attachments", "metadata",
}  # fmt: skip
RUN_FIELDS = {
    "id", "object", "created_at", "thread_id", "assistant_id", "status", "required_action", "last_error",
    "expires_at", "started_at", "cancelled_at", "failed_at", "completed_at", "model", "instructions", "tools",
    "metadata", "usage", "incomplete_details", "max_prompt_tokens", "max_completion_tokens", "truncation_strategy",
    "tool_choice", "parallel_tool_calls", "response_format", "temperature", "top_p", "reasoning_effort",
}  # fmt: skip
STEP_FIELDS = {
    "id", "object", "created_at", "run_id", "assistant_id", "thread_id", "type", "status", "step_details",
    "last_error", "expired_at", "cancelled_at", "failed_at", "completed_at", "metadata", "usage",
}  # fmt: skip


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Give a client of the assistants."""
    async with assistants_client(tmp_path) as client:
        yield client


def _error(response: httpx.Response) -> dict[str, Any]:
    """Return an answer's error, whose shape is OpenAI's and which has the request's id."""
    error: dict[str, Any] = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert response.headers["x-request-id"]
    return error


async def test_objects_have_all_their_fields(client: httpx.AsyncClient) -> None:
    """Nulls are explicit, instructions of a run are never null, an unset usage is null."""
    assistant = await make(client, "/v1/assistants", model=GREETER)
    thread = (await client.post("/v1/threads")).json()
    message = await make(client, f"/v1/threads/{thread['id']}/messages", role="user", content="Hello")
    run = await make(client, f"/v1/threads/{thread['id']}/runs", assistant_id=assistant["id"])
    assert set(assistant) == ASSISTANT_FIELDS
    assert set(thread) == {"id", "object", "created_at", "tool_resources", "metadata"}
    assert set(message) == MESSAGE_FIELDS
    assert (set(run), run["instructions"], run["usage"], run["status"]) == (RUN_FIELDS, "", None, "queued")
    assert run["expires_at"] > run["created_at"]
    await finished_run(client, thread["id"], run["id"])
    [step] = (await client.get(f"/v1/threads/{thread['id']}/runs/{run['id']}/steps")).json()["data"]
    assert set(step) == STEP_FIELDS


async def test_every_path_is_there_without_v1(client: httpx.AsyncClient) -> None:
    """What is made under one prefix is seen under the other."""
    assistant_id = (await make(client, "/assistants", model=GREETER))["id"]
    thread_id = (await client.post("/threads", content=b"")).json()["id"]
    await make(client, f"/threads/{thread_id}/messages", role="user", content="Hello")
    run_id = (await make(client, f"/threads/{thread_id}/runs", assistant_id=assistant_id))["id"]
    run = await finished_run(client, thread_id, run_id)
    for path in ("messages", "runs", f"runs/{run_id}/steps"):
        with_prefix, without = [
            (await client.get(f"{prefix}/threads/{thread_id}/{path}")).json() for prefix in ("/v1", "")
        ]
        assert with_prefix == without
        assert with_prefix["object"] == "list"
    assert (await client.get(f"/threads/{thread_id}/runs/{run_id}")).json() == run
    assert (await client.get("/health")).json() == {"status": "ok"}
    assert (await client.get("/v1/health_check")).json()["Service Title"] == "assistants"


async def test_active_run_says_when_to_ask_again(client: httpx.AsyncClient) -> None:
    """SDKs that poll wait for `openai-poll-after-ms` instead of a second; a run that has ended has none."""
    assistant_id, thread_id = await make_assistant(client, model=SLOW), await make_thread(client, "Hello")
    run_id = (await make(client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant_id))["id"]
    url = f"/v1/threads/{thread_id}/runs/{run_id}"
    assert (await client.get(url)).headers["openai-poll-after-ms"] == "50"
    await make(client, f"{url}/cancel")
    ended = await client.get(url)
    assert (ended.json()["status"], "openai-poll-after-ms" in ended.headers) == ("cancelled", False)
    assert ended.json()["expires_at"] is None


async def test_busy_thread_refuses_messages_runs_and_deletions(client: httpx.AsyncClient) -> None:
    """All are 400, which SDKs do not send again by themselves; after the run all go through."""
    assistant_id, thread_id = await make_assistant(client, model=SLOW), await make_thread(client, "Hello")
    thread = f"/v1/threads/{thread_id}"
    [message] = (await client.get(f"{thread}/messages")).json()["data"]
    run_id = (await make(client, f"{thread}/runs", assistant_id=assistant_id))["id"]
    added = await client.post(f"{thread}/messages", json={"role": "user", "content": "x"})
    second = await client.post(f"{thread}/runs", json={"assistant_id": assistant_id})
    deleted = [await client.delete(f"{thread}/messages/{message['id']}"), await client.delete(thread)]
    assert [answer.status_code for answer in (added, second, *deleted)] == [400] * 4
    assert _error(added)["message"] == f"Can't add messages to {thread_id} while a run {run_id} is active."
    assert _error(second)["message"] == f"Thread {thread_id} already has an active run {run_id}."
    await make(client, f"{thread}/runs/{run_id}/cancel")
    assert (await client.delete(f"{thread}/messages/{message['id']}")).status_code == 200
    assert (await client.delete(thread)).json() == {"id": thread_id, "object": "thread.deleted", "deleted": True}
    assert (await client.get(f"{thread}/runs/{run_id}")).status_code == 404


async def test_run_outlives_its_assistant(client: httpx.AsyncClient) -> None:
    """A deleted assistant's runs and messages stay; a new run of it is a 404."""
    assistant_id, thread_id = await make_assistant(client), await make_thread(client, "Hello")
    run_id = (await make(client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant_id))["id"]
    await finished_run(client, thread_id, run_id)
    await client.delete(f"/v1/assistants/{assistant_id}")
    assert (await client.get(f"/v1/threads/{thread_id}/runs/{run_id}")).json()["assistant_id"] == assistant_id
    refused = await client.post(f"/v1/threads/{thread_id}/runs", json={"assistant_id": assistant_id})
    assert _error(refused)["message"] == f"No assistant found with id '{assistant_id}'."
    assert refused.status_code == 404


async def test_grade_of_a_pipeline_is_in_message_and_step(client: httpx.AsyncClient) -> None:
    """A run goes through a pipeline like through a model."""
    assistant_id, thread_id = await make_assistant(client, model=GRADED), await make_thread(client, "Hello")
    run_id = (await make(client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant_id))["id"]
    assert (await finished_run(client, thread_id, run_id))["status"] == "completed"
    [message] = (await client.get(f"/v1/threads/{thread_id}/messages?run_id={run_id}")).json()["data"]
    [step] = (await client.get(f"/v1/threads/{thread_id}/runs/{run_id}/steps")).json()["data"]
    assert float(message["metadata"]["grade_score"]) == 0.95
    assert step["metadata"]["grade_feedback"] == message["metadata"]["grade_feedback"] == "Faultless."


async def test_unknown_ids_are_404_with_openais_words(client: httpx.AsyncClient) -> None:
    """Whatever the id looks like: unknown, huge, of another kind, with characters that no id has."""
    for thing in ("thread_nobody", "x" * 5_000, "☕", "a%00b", "%20", "..%2F..%2Fetc"):
        response = await client.get(f"/v1/threads/{thing}")
        assert (response.status_code, _error(response)["code"]) == (404, "not_found")
    assert (await client.get("/v1/threads/runs")).status_code == 404
    thread_id = await make_thread(client)
    for path in (f"threads/{thread_id}/messages/msg_x", f"threads/{thread_id}/runs/run_x/steps", "assistants/asst_x"):
        assert (await client.get(f"/v1/{path}")).status_code == 404
    message = await client.get(f"/v1/threads/{thread_id}/messages/msg_x")
    assert _error(message)["message"] == "No message found with id 'msg_x'."


async def test_pages_by_a_sequence_that_has_no_ties(client: httpx.AsyncClient) -> None:
    """Messages of one second come in their order, each once, forwards and backwards."""
    thread_id = await make_thread(client, *(str(number) for number in range(7)))
    url = f"/v1/threads/{thread_id}/messages"
    seen: list[str] = []
    query: dict[str, Any] = {"order": "asc", "limit": 3}
    while True:
        page = (await client.get(url, params=query)).json()
        seen += [item["content"][0]["text"]["value"] for item in page["data"]]
        assert (page["first_id"], page["last_id"]) == (page["data"][0]["id"], page["data"][-1]["id"])
        if not page["has_more"]:
            break
        query["after"] = page["last_id"]
    assert seen == ["0", "1", "2", "3", "4", "5", "6"]
    newest = (await client.get(url, params={"limit": 1})).json()
    assert newest["data"][0]["content"][0]["text"]["value"] == "6"
    empty = (await client.get(url, params={"run_id": "run_x"})).json()
    assert empty == {"object": "list", "data": [], "first_id": None, "last_id": None, "has_more": False}


_BAD_PAGES = (
    ("limit=0", "limit"),
    ("limit=101", "limit"),
    ("limit=many", "limit"),
    ("limit=%C2%B2", "limit"),
    ("limit=99999999999999999999", "limit"),
    ("order=up", "order"),
    ("after=%00", "after"),
)


async def test_bad_page_parameters_are_named(client: httpx.AsyncClient) -> None:
    """A value that no page can have is a 400."""
    for query, param in _BAD_PAGES:
        response = await client.get(f"/v1/assistants?{query}")
        assert (response.status_code, _error(response)["param"]) == (400, param), query


_GARBAGE = (
    (b"", "application/json"),
    (b"{", "application/json"),
    (b"[]", "application/json"),
    (b"\xff\xfe", "application/json"),
    (b'{"model": "\\ud800"}', "application/json"),
    (b"model=m", "application/x-www-form-urlencoded"),
    (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x"),
    (b'{"model": 1e400}', "text/plain"),
)


async def test_garbage_is_a_400(client: httpx.AsyncClient) -> None:
    """Whatever the header says: a body that is no JSON object is refused, and says so."""
    for body, content_type in _GARBAGE:
        response = await client.post("/v1/assistants", content=body, headers={"content-type": content_type})
        assert (response.status_code, _error(response)["code"]) == (400, "invalid_value"), body


async def test_json_needs_no_header(client: httpx.AsyncClient) -> None:
    """`curl -d` without a header sends JSON as a form."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    body = '{"model": "greeter", "name": "Professoressa ☕ é\u2028"}'.encode()
    response = await client.post("/v1/assistants", content=body, headers=headers)
    assert (response.status_code, response.json()["name"]) == (200, "Professoressa ☕ é\u2028")


async def test_image_that_was_not_uploaded_is_refused(client: httpx.AsyncClient) -> None:
    """An image's file must be there when the message is added."""
    image = {"type": "image_file", "image_file": {"file_id": "file-nobody"}}
    message = {"role": "user", "content": [image]}
    refused = await client.post("/v1/threads", json={"messages": [message]})
    assert (refused.status_code, _error(refused)["param"]) == (400, "content")
    file = {"file": ("a.png", b"\x89PNG")}
    image["image_file"] = {
        "file_id": (await client.post("/v1/files", files=file, data={"purpose": "vision"})).json()["id"]
    }
    assert (await client.post("/v1/threads", json={"messages": [message]})).status_code == 200


async def test_errors_of_the_table_have_their_status(tmp_path: Path, refused_url: str) -> None:
    """Too large, a wrong method, an unknown path: as in every service here."""
    async with (
        assistants_at(tmp_path, refused_url, max_body_bytes=1_000, max_file_bytes=2_000) as url,
        client_of(url) as client,
    ):
        large = await client.post("/v1/threads", content=b'{"metadata": {"a": "' + b"x" * 2_000 + b'"}}')
        smaller, larger = ({"file": ("a.txt", b"x" * size)} for size in (1_900, 200_000))
        fits = await client.post("/v1/files", files=smaller, data={"purpose": "assistants"})
        file = await client.post("/v1/files", files=larger, data={"purpose": "assistants"})
        method = await client.put("/v1/assistants", json={})
        path = await client.get("/v1/nothing")
    errors = [(answer.status_code, _error(answer)["code"]) for answer in (large, file, method, path)]
    assert (fits.status_code, "ASSISTANTS_MAX_FILE_BYTES" in _error(file)["message"]) == (200, True)
    assert errors == [
        (413, "payload_too_large"),
        (413, "payload_too_large"),
        (405, "method_not_allowed"),
        (404, "not_found"),
    ]


async def test_unknown_model_is_told_where_it_is_written(client: httpx.AsyncClient) -> None:
    """A mistyped model is a 400 with the models there are, for an assistant, its update and a run."""
    assistant_id, thread_id = await make_assistant(client), await make_thread(client, "Hello")
    wrong = {"model": "test-model"}
    answers = [
        await client.post("/v1/assistants", json=wrong),
        await client.post(f"/v1/assistants/{assistant_id}", json=wrong),
        await client.post(f"/v1/threads/{thread_id}/runs", json={"assistant_id": assistant_id, **wrong}),
        await client.post("/v1/threads/runs", json={"assistant_id": assistant_id, **wrong}),
    ]
    for answer in answers:
        error = _error(answer)
        assert (answer.status_code, error["code"], error["param"]) == (400, "model_not_found", "model")
        assert GREETER in error["message"]
    assert (await client.get(f"/v1/threads/{thread_id}/runs")).json()["data"] == []


async def test_gateway_that_is_away_fails_runs_and_nothing_else(tmp_path: Path, refused_url: str) -> None:
    """Any model is taken, the service is ready, and the run says what is not there."""
    async with assistants_at(tmp_path, f"{refused_url}/v1") as url, client_of(url) as client:
        assert (await client.get("/ready")).json() == {"status": "ready"}
        assistant_id, thread_id = await make_assistant(client, model="any"), await make_thread(client, "Hello")
        run_id = (await make(client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant_id))["id"]
        run = await finished_run(client, thread_id, run_id)
    assert (run["status"], run["last_error"]["code"]) == ("failed", "server_error")
    assert refused_url in run["last_error"]["message"]


async def test_included_content_is_checked(client: httpx.AsyncClient) -> None:
    """The one thing that can be included is taken; anything else is named."""
    assistant_id, thread_id = await make_assistant(client), await make_thread(client, "Hello")
    runs = f"/v1/threads/{thread_id}/runs"
    wanted = {"include[]": "step_details.tool_calls[*].file_search.results[*].content"}
    run = await client.post(runs, json={"assistant_id": assistant_id}, params=wanted)
    assert run.status_code == 200
    steps = f"{runs}/{run.json()['id']}/steps"
    assert (await client.get(steps, params=wanted)).status_code == 200
    refused = await client.get(steps, params={"include[]": "everything"})
    assert (refused.status_code, _error(refused)["param"]) == (400, "include")
