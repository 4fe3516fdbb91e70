"""LLMs in a row: a failure of the first, the middle or the last node, and clients that leave between them."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.faults import ANSWERS, Fault, ids
from tests.support.gateway import (
    CHAT,
    GREETING,
    QUICK,
    ask,
    ask_stream,
    pending_requests_settle,
    running_gateway,
)
from tests.support.scripted_upstream import Reply, Script

NODES = ("first", "middle", "last")
#: One of each kind; every single one is in the tests of the LLM and of the grader.
SOME = [
    fault
    for fault in ANSWERS
    if fault.name in ("refused", "silence", "400-plain", "429", "500-openai", "200-json-array")
]
STREAMED = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])


async def _translate(reply: Reply) -> None:
    """Answer `<the text that was sent>!`, as asked: JSON or a stream."""
    body = reply.request.json
    text = body["messages"][-1]["content"] + "!"
    await (scripts.openai_stream(list(text)) if body.get("stream") else scripts.completion(text))(reply)


def _chain(urls: dict[str, str], **soft: str) -> dict[str, Any]:
    nodes = {
        name: {
            "service_type": "llm",
            "endpoint": f"{url}/v1/chat/completions",
            "timeouts": QUICK,
            "dependency": soft.get(name, "hard"),
        }
        for name, url in urls.items()
    }
    return {
        "opea_micro_services": nodes,
        "opea_mega_service": {"name": "chain", "endpoints": [CHAT], "mega_flow": [" >> ".join(NODES)]},
    }


async def _urls(start: UpstreamFactory, broken: str, script: Script | None, refused_url: str) -> dict[str, str]:
    good = await start(_translate)
    bad_url = refused_url if script is None else (await start(script)).url
    return {name: bad_url if name == broken else good.url for name in NODES}


@STREAMED
async def test_chain_hands_each_nodes_text_to_the_next(
    stream: bool, scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Three LLMs in a row, by JSON and by stream."""
    llm = await scripted_upstream(_translate)
    files = [_chain(dict.fromkeys(NODES, llm.url))]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        if stream:
            text = (await ask_stream(url + CHAT)).text
        else:
            text = (await ask(url + CHAT)).json()["choices"][0]["message"]["content"]
    assert text == "Hello, how are you?!!!"


@STREAMED
@pytest.mark.parametrize("broken", NODES)
@pytest.mark.parametrize("fault", SOME, ids=ids)
async def test_chain_failure_names_the_node_that_failed(
    fault: Fault, broken: str, stream: bool, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """Wherever it happens, the status is that of the failure, and nothing was sent before it."""
    urls = await _urls(scripted_upstream, broken, fault.script, refused_url)
    async with running_gateway(tmp_path, llm_url=refused_url, files=[_chain(urls)]) as url:
        response = await ask(url + CHAT, stream=stream)
    error = response.json()["error"]
    assert (response.status_code, error["code"]) == (fault.status, fault.code)
    assert f"node '{broken}' at http://127.0.0.1:" in error["message"]
    assert await pending_requests_settle()


@STREAMED
async def test_chain_client_leaving_cancels_the_node_that_works(
    stream: bool, scripted_upstream: UpstreamFactory, refused_url: str, tmp_path: Path
) -> None:
    """The middle node is cancelled within 100 ms (best of three), and the last one is never asked."""
    good, stuck = await scripted_upstream(_translate), await scripted_upstream(scripts.silence())
    last = await scripted_upstream(_translate)
    document = _chain({"first": good.url, "middle": stuck.url, "last": last.url})
    for node in document["opea_micro_services"].values():
        node["timeouts"] = {"first_token_seconds": 20.0}
    delays = []
    async with running_gateway(tmp_path, llm_url=refused_url, files=[document]) as url:
        for number in range(3):
            async with httpx.AsyncClient(trust_env=False) as client:
                body = {"messages": GREETING, "stream": stream}
                asking = asyncio.create_task(client.post(url + CHAT, json=body, timeout=20))
                await stuck.wait_for_requests(number + 1)
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
            left_at = time.monotonic()
            await stuck.wait_until_idle()
            closed_at = stuck.requests[-1].client_left_at
            assert closed_at is not None
            delays.append(closed_at - left_at)
            if delays[-1] < 0.1:
                break
        assert await pending_requests_settle()
    assert min(delays) < 0.1
    assert last.requests == []
