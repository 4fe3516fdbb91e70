"""With API_KEYS an object belongs to the key that made it: on every route others find nothing."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import httpx

from tests.support.assistants import assistants_at, client_of, finished_run, make, make_assistant, make_thread
from tests.support.scripted_gateway import gateway
from tests.support.scripted_upstream import ScriptedUpstream

_KEYS = {"api_keys": "first-key,second-key"}
#: Bodies that are as they should be, so that nothing but the owner decides.
_BODIES: dict[str, dict[str, Any]] = {
    "/v1/threads/{thread_id}/messages": {"role": "user", "content": "x"},
    "/v1/threads/{thread_id}/runs": {"assistant_id": "{assistant_id}"},
    "/v1/threads/{thread_id}/runs/{run_id}/submit_tool_outputs": {
        "tool_outputs": [{"tool_call_id": "call_1", "output": "x"}]
    },
    "/v1/vector_stores/{vector_store_id}/files": {"file_id": "{file_id}"},
    "/v1/vector_stores/{vector_store_id}/file_batches": {"file_ids": ["{file_id}"]},
    "/v1/vector_stores/{vector_store_id}/search": {"query": "x"},
    "/v1/vector_stores/{vector_store_id}/files/{file_id}": {"attributes": {}},
}


async def _make_one_of_each(client: httpx.AsyncClient) -> dict[str, str]:
    """Make one object of each kind and return their ids by the names of the paths' parameters."""
    assistant_id, thread_id = await make_assistant(client), await make_thread(client, "Hello")
    run_id = (await make(client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant_id))["id"]
    await finished_run(client, thread_id, run_id)
    steps = (await client.get(f"/v1/threads/{thread_id}/runs/{run_id}/steps")).json()
    messages = (await client.get(f"/v1/threads/{thread_id}/messages")).json()
    upload = {"file": ("a.txt", b"cheese")}
    file_id = (await client.post("/v1/files", files=upload, data={"purpose": "assistants"})).json()["id"]
    store_id = (await make(client, "/v1/vector_stores", name="s"))["id"]
    batch = await make(client, f"/v1/vector_stores/{store_id}/file_batches", file_ids=[file_id])
    return {
        "assistant_id": assistant_id,
        "thread_id": thread_id,
        "run_id": run_id,
        "step_id": steps["data"][0]["id"],
        "message_id": messages["data"][0]["id"],
        "file_id": file_id,
        "vector_store_id": store_id,
        "batch_id": batch["id"],
    }


def _filled(template: object, ids: dict[str, str]) -> Any:  # noqa: ANN401 - of the same shape
    if isinstance(template, str):
        return re.sub(r"\{(\w+)\}", lambda found: ids[found[1]], template)
    if isinstance(template, list):
        return [_filled(item, ids) for item in template]
    if isinstance(template, dict):
        return {key: _filled(value, ids) for key, value in template.items()}
    return template


async def test_objects_of_one_key_are_404_for_another_on_every_route(tmp_path: Path) -> None:
    """Every path of the OpenAPI document that names an object, with every method."""
    async with (
        ScriptedUpstream(gateway) as upstream,
        assistants_at(tmp_path, upstream.openai_url, **_KEYS) as url,
        client_of(url, "first-key") as first,
        client_of(url, "second-key") as second,
    ):
        ids = await _make_one_of_each(first)
        paths = (await first.get("/openapi.json")).json()["paths"]
        asked = []
        for template in (path for path in paths if "{" in path):
            for method in paths[template]:
                body = _filled(_BODIES.get(template, {}), ids) if method == "post" else None
                response = await second.request(method, _filled(template, ids), json=body)
                asked.append((response.status_code, method, template))
        assert len(asked) >= 23
        assert [item for item in asked if item[0] != 404] == []
        for path in ("assistants", "files", "vector_stores"):
            assert (await second.get(f"/v1/{path}")).json()["data"] == []
            assert len((await first.get(f"/v1/{path}")).json()["data"]) == 1


async def test_what_belongs_to_another_key_cannot_be_used(tmp_path: Path) -> None:
    """A foreign assistant, vector store or file cannot be named in objects of one's own."""
    async with (
        ScriptedUpstream(gateway) as upstream,
        assistants_at(tmp_path, upstream.openai_url, **_KEYS) as url,
        client_of(url, "first-key") as first,
        client_of(url, "second-key") as second,
    ):
        ids = await _make_one_of_each(first)
        own = await make_thread(second, "Hello")
        foreign = {"assistant_id": ids["assistant_id"]}
        assert (await second.post(f"/v1/threads/{own}/runs", json=foreign)).status_code == 404
        assert (await second.post("/v1/threads/runs", json=foreign)).status_code == 404
        resources = {"file_search": {"vector_store_ids": [ids["vector_store_id"]]}}
        assert (await second.post("/v1/threads", json={"tool_resources": resources})).status_code == 400
        attachment = {"file_id": ids["file_id"], "tools": [{"type": "file_search"}]}
        body = {"role": "user", "content": "x", "attachments": [attachment]}
        assert (await second.post(f"/v1/threads/{own}/messages", json=body)).status_code == 400
        after = await second.get("/v1/assistants", params={"after": ids["assistant_id"]})
        assert after.status_code == 404


async def test_every_request_needs_a_key_but_the_probes(tmp_path: Path, refused_url: str) -> None:
    """No key and a wrong one are 401; `/health` and `/ready` need none."""
    async with assistants_at(tmp_path, refused_url, **_KEYS) as url, client_of(url) as nobody:
        for path in ("/v1/assistants", "/assistants", "/openapi.json"):
            assert (await nobody.get(path)).status_code == 401
        wrong = await nobody.get("/v1/assistants", headers={"authorization": "Bearer third-key"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
        assert [(await nobody.get(path)).status_code for path in ("/health", "/ready")] == [200, 200]


async def test_without_keys_whatever_key_is_sent_is_the_same(tmp_path: Path, refused_url: str) -> None:
    """SDKs always send one; where none is asked for it says nothing."""
    async with assistants_at(tmp_path, refused_url) as url, client_of(url, "a") as first, client_of(url, "b") as second:
        assistant_id = await make_assistant(first)
        assert (await second.get(f"/v1/assistants/{assistant_id}")).status_code == 200
