"""The older flow on port 3000: what published scripts type, without /v1 and without the SDKs' header."""

from __future__ import annotations

import asyncio
import json
import shutil
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.assistants import V2, assistants_at, finished_run, make
from tests.support.scripted_gateway import GREETER, SLOW, gateway
from tests.support.scripted_upstream import ScriptedUpstream

#: As the project's users have them in their scripts.
_SCRIPT = """
set -e
assistant_id=$(curl -sS -X POST $URL/assistants -H "Content-Type: application/json" -d '{"instructions":
  "You are a personal math tutor.", "name": "Math Tutor", "tools": [], "model": "greeter"}' | jq -r .id)
thread_id=$(curl -sS -X POST $URL/threads -H "Content-Type: application/json" | jq -r .id)
curl -sS -X POST $URL/threads/$thread_id/messages -H "Content-Type: application/json" \
  -d '{"role": "user", "content": "Hello"}' > /dev/null
run_id=$(curl -sS -X POST $URL/threads/$thread_id/runs -H "Content-Type: application/json" \
  -d '{"assistant_id": "'$assistant_id'", "instructions": "Be kind."}' | jq -r .id)
for _ in $(seq 100); do
  status=$(curl -sS $URL/threads/$thread_id/runs/$run_id | jq -r .status)
  [ "$status" = completed ] && break
  sleep 0.05
done
curl -sS $URL/threads/$thread_id/messages
"""


@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("jq")), reason="the script needs curl and jq")
@pytest.mark.parametrize("prefix", ["", "/v1"])
async def test_published_script_works_as_written(tmp_path: Path, prefix: str) -> None:
    """Assistant, thread, message, run, poll, messages, by `.id` of each; the prefix decides about the list's shape."""
    async with ScriptedUpstream(gateway) as upstream, assistants_at(tmp_path, upstream.openai_url) as url:
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", _SCRIPT, env={"URL": url + prefix, "PATH": "/usr/bin:/bin"}, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
    assert process.returncode == 0
    listed = json.loads(output)
    messages = listed if prefix == "" else listed["data"]
    assert [message["content"][0]["text"]["value"] for message in messages] == ["Ciao mondo", "Hello"]


async def test_older_shape_has_a_bare_array_and_its_own_word(tmp_path: Path) -> None:
    """Only without the header and without /v1 are messages a bare array and a run at work `running`."""
    async with (
        ScriptedUpstream(gateway) as upstream,
        assistants_at(tmp_path, upstream.openai_url) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        assistant_id = (await make(client, "/assistants", model=SLOW))["id"]
        thread_id = (await client.post("/threads")).json()["id"]
        for number in range(30):
            await make(client, f"/threads/{thread_id}/messages", role="user", content=str(number))
        run_id = (await make(client, f"/threads/{thread_id}/runs", assistant_id=assistant_id))["id"]
        run_path = f"/threads/{thread_id}/runs/{run_id}"
        async with asyncio.timeout(10):
            while (await client.get(run_path, headers=V2)).json()["status"] == "queued":  # noqa: ASYNC110 - HTTP has no event
                await asyncio.sleep(0.02)
        bare = (await client.get(f"/threads/{thread_id}/messages")).json()
        with_header = (await client.get(f"/threads/{thread_id}/messages", headers=V2)).json()
        with_prefix = (await client.get(f"/v1/threads/{thread_id}/messages")).json()
        # The run's answer grows meanwhile: only what stands in the lists is compared, not what it says.
        assert (_ids(with_header["data"]), with_header["object"]) == (_ids(with_prefix["data"]), "list")
        assert (len(with_header["data"]), with_header.keys()) == (20, with_prefix.keys())
        assert (len(bare) >= 30, bare[0].keys()) == (True, with_header["data"][0].keys())
        assert _ids(bare)[:20] == _ids(with_header["data"])
        older, newer = await client.get(run_path), await client.get(run_path, headers=V2)
        assert (older.json()["status"], newer.json()["status"]) == ("running", "in_progress")
        limited = (await client.get(f"/threads/{thread_id}/messages?limit=2")).json()
        assert len(limited) == 2
        await make(client, f"{run_path}/cancel")


async def test_first_versions_words_are_understood(tmp_path: Path) -> None:
    """`retrieval` and `file_ids`; a file that is not there is named."""
    async with (
        ScriptedUpstream(gateway) as upstream,
        assistants_at(tmp_path, upstream.openai_url) as url,
        httpx.AsyncClient(base_url=url, trust_env=False) as client,
    ):
        made = await make(client, "/assistants", model=GREETER, tools=[{"type": "retrieval"}], file_ids=[])
        assert made["tools"] == [{"type": "file_search"}]
        missing = await client.post("/assistants", json={"model": GREETER, "file_ids": ["file-nobody"]})
        assert (missing.status_code, "file-nobody" in missing.json()["error"]["message"]) == (400, True)
        file = {"file": ("notes.txt", b"The moon is made of green cheese.")}
        uploaded = await client.post("/v1/files", files=file, data={"purpose": "assistants"})
        thread_id = (await client.post("/threads")).json()["id"]
        body = {"role": "user", "content": "Of what is the moon made?", "file_ids": [uploaded.json()["id"]]}
        message = await make(client, f"/threads/{thread_id}/messages", **body)
        assert message["attachments"] == [{"file_id": uploaded.json()["id"], "tools": [{"type": "file_search"}]}]
        assert (await client.get(f"/threads/{thread_id}")).json()["tool_resources"]["file_search"]["vector_store_ids"]
        run_id = (await make(client, f"/threads/{thread_id}/runs", assistant_id=made["id"]))["id"]
        assert (await finished_run(client, thread_id, run_id))["status"] == "completed"


def _ids(messages: list[dict[str, Any]]) -> list[str]:
    return [message["id"] for message in messages]
