"""Pipeline files that are saved while the gateway runs: taken over whole, or not at all; no request is lost."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from fastapi import FastAPI

from megaservice.pipeline_files import FolderReading, read_folder
from megaservice.served import ServedPipelines
from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GREETING, build_gateway, chat_file, pending_requests_settle
from tests.support.serving import serving

OTHER = "/v1/other"


def _file(url: str, name: str = "other", endpoint: str = OTHER, **node: Any) -> dict[str, Any]:
    document = chat_file(url, **node)
    document["opea_mega_service"] = {"name": name, "endpoints": [endpoint], "mega_flow": ["llm"]}
    return document


class _Reloading:
    """A running gateway and the folder of its files."""

    def __init__(self, app: FastAPI, url: str, folder: Path) -> None:
        self.served: ServedPipelines = app.state.served
        self.folder = folder
        self.client = httpx.AsyncClient(base_url=url, timeout=20, trust_env=False)

    async def save(self, name: str, document: Mapping[str, Any] | str) -> None:
        text = document if isinstance(document, str) else yaml.safe_dump(dict(document), sort_keys=False)
        await asyncio.to_thread((self.folder / name).write_text, text)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():  # noqa: ASYNC110 - what is waited for is seen from outside
                await asyncio.sleep(0.01)

    async def taken(self, action: Callable[[], Any]) -> None:
        """Do something to the folder, and wait until it was noticed."""
        version = self.served.version
        await action()
        await self.until(lambda: self.served.version > version)

    async def ask(self, path: str, **body: Any) -> httpx.Response:
        return await self.client.post(path, json={"messages": GREETING, **body})

    async def pipelines(self) -> dict[str, dict[str, Any]]:
        data = (await self.client.get("/v1/pipelines")).json()["data"]
        return {row["file"]: row for row in data}


@asynccontextmanager
async def _reloading(folder: Path, *documents: Mapping[str, Any], **settings: Any) -> AsyncIterator[_Reloading]:
    app = await asyncio.to_thread(build_gateway, folder, documents, settings)
    async with serving(app) as url:
        gateway = _Reloading(app, url, folder)
        async with gateway.client:
            yield gateway


async def test_saved_file_is_taken_over_whole(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The next request runs the new version; the answer of a pipeline that did not change is the same object's."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _reloading(tmp_path, chat_file(llm.url), _file(llm.url)) as gateway:
        chat, other = gateway.served.table.gateways
        await gateway.taken(lambda: gateway.save("1.yaml", _file(llm.url, parameters={"temperature": 0.5})))
        assert gateway.served.table.gateways[0] is chat
        assert gateway.served.table.gateways[1] is not other
        assert (await gateway.ask(OTHER)).status_code == 200
    assert llm.requests[-1].json["temperature"] == 0.5


async def test_comment_changes_no_gateway(refused_url: str, tmp_path: Path) -> None:
    """A file that says the same in other words keeps the state of its nodes."""
    async with _reloading(tmp_path, chat_file(refused_url)) as gateway:
        (before,) = gateway.served.table.gateways
        text = await asyncio.to_thread((tmp_path / "0.yaml").read_text)
        await gateway.taken(lambda: gateway.save("0.yaml", f"# the chat\n{text}"))
        assert gateway.served.table.gateways == (before,)


async def test_bad_edit_leaves_the_old_version_running_and_says_why(
    scripted_upstream: UpstreamFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Every problem with its place, in the log and in /v1/pipelines; the next good save ends it."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    good = chat_file(llm.url)
    bad = {**good, "opea_mega_service": {**good["opea_mega_service"], "mega_flow": ["lm"], "nmae": "x"}}
    async with _reloading(tmp_path, good) as gateway:
        await gateway.taken(lambda: gateway.save("0.yaml", bad))
        answer = await gateway.ask(CHAT)
        row = (await gateway.pipelines())["0.yaml"]
        await gateway.taken(lambda: gateway.save("0.yaml", good))
        mended = (await gateway.pipelines())["0.yaml"]
    assert answer.status_code == 200
    assert (row["state"], row["name"], row["endpoints"]) == ("outdated", "chat", [CHAT, "/v1/example-service"])
    assert len(row["problems"]) >= 2
    for problem in row["problems"]:
        assert (problem["file"], problem["line"] > 1) == ("0.yaml", True)
        assert f"0.yaml:{problem['line']}:{problem['column']}: {problem['message']}" in caplog.text
    assert "pipeline 'chat' runs on as it was before" in caplog.text
    assert (mended["state"], mended["problems"]) == ("running", [])


async def test_files_come_and_go(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """A new file is served at once, a renamed one keeps its gateway, a removed one is a 404."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _reloading(tmp_path, chat_file(llm.url)) as gateway:
        assert (await gateway.ask(OTHER)).status_code == 404
        await gateway.taken(lambda: gateway.save("new.yaml", _file(llm.url)))
        assert (await gateway.ask(OTHER)).status_code == 200
        added = gateway.served.table.by_name["other"]
        assert OTHER in (await gateway.client.get("/openapi.json")).json()["paths"]
        await gateway.taken(lambda: asyncio.to_thread((tmp_path / "new.yaml").rename, tmp_path / "named.yml"))
        assert gateway.served.table.by_name["other"] is added
        await gateway.taken(lambda: asyncio.to_thread((tmp_path / "named.yml").unlink))
        assert (await gateway.ask(OTHER)).status_code == 404
        assert OTHER not in (await gateway.client.get("/openapi.json")).json()["paths"]


async def test_endpoints_change_with_the_file(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The old path is gone with the swap that brings the new one."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _reloading(tmp_path, chat_file(llm.url), _file(llm.url)) as gateway:
        await gateway.taken(lambda: gateway.save("1.yaml", _file(llm.url, endpoint="/v1/moved")))
        assert (await gateway.ask(OTHER)).status_code == 404
        assert (await gateway.ask("/v1/moved")).status_code == 200
        assert (await gateway.client.get("/v1/moved")).status_code == 405


async def test_new_file_cannot_take_what_another_has(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Whoever runs keeps its name and its paths, wherever the other file stands in the alphabet."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _reloading(tmp_path, _file(llm.url)) as gateway:
        before = gateway.served.table.by_name["other"]
        await gateway.taken(lambda: gateway.save("00.yaml", _file(llm.url, name="thief", parameters={"seed": 1})))
        assert gateway.served.table.gateways == (before,)
        rows = await gateway.pipelines()
        await gateway.taken(lambda: asyncio.to_thread((tmp_path / "00.yaml").unlink))
        healed = await gateway.pipelines()
    assert rows["00.yaml"]["state"] == "broken"
    assert OTHER in rows["00.yaml"]["problems"][0]["message"]
    assert healed["0.yaml"]["problems"] == []


async def test_empty_folder_changes_nothing(
    scripted_upstream: UpstreamFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway without a pipeline is of no use; the last file that goes leaves what runs."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _reloading(tmp_path, chat_file(llm.url)) as gateway:
        await asyncio.to_thread((tmp_path / "0.yaml").unlink)
        await gateway.until(lambda: "there is no pipeline file" in caplog.text)
        assert (await gateway.ask(CHAT)).status_code == 200


async def test_reload_can_be_switched_off(refused_url: str, tmp_path: Path) -> None:
    """With PIPELINES_RELOAD=false the files are those of the start."""
    async with _reloading(tmp_path, chat_file(refused_url), pipelines_reload=False) as gateway:
        await gateway.save("new.yaml", _file(refused_url))
        await asyncio.sleep(0.8)
        assert list(gateway.served.table.by_name) == ["chat"]


async def test_running_stream_ends_on_the_version_with_which_it_began(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The replaced gateway drains: its stream goes on to its end, and /v1/pipelines counts it meanwhile."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao", "!", " Come stai?"], gap_seconds=0.3))
    async with _reloading(tmp_path, chat_file(llm.url)) as gateway:
        body = {"messages": GREETING, "stream": True}
        async with gateway.client.stream("POST", CHAT, json=body) as response:
            parts = response.aiter_bytes()
            received = await anext(parts)
            old = gateway.served.table.default
            await gateway.taken(lambda: gateway.save("0.yaml", chat_file(llm.url, parameters={"seed": 3})))
            assert gateway.served.table.default is not old
            assert gateway.served.draining("chat") == 1
            received += b"".join([part async for part in parts])
        await gateway.until(lambda: gateway.served.draining("chat") == 0)
    assert b"Come stai?" in received
    assert received.endswith(b"data: [DONE]\n\n")


def _versions(folder: Path, url: str) -> list[FolderReading]:
    """Read two versions of a folder with two pipelines, one of which changes."""
    readings = []
    for seed in (1, 2):
        (folder / "1.yaml").write_text(yaml.safe_dump(_file(url, parameters={"seed": seed}), sort_keys=False))
        readings.append(read_folder(folder, dict))
    return readings


async def _load(gateway: _Reloading, stop: asyncio.Event, path: str, *, stream: bool) -> int:
    """Ask until told to stop; every answer must be whole."""
    count = 0
    while not stop.is_set():
        response = await gateway.ask(path, stream=stream)
        assert response.status_code == 200, response.text
        assert response.content.endswith(b"data: [DONE]\n\n") or response.json()["choices"]
        count += 1
    return count


@pytest.mark.slow
async def test_no_request_is_lost_in_a_thousand_reloads_under_load(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """JSON answers and streams run on while the table is replaced again and again; some times by real saves."""
    json_llm = await scripted_upstream(scripts.completion("Ciao!"))
    stream_llm = await scripted_upstream(scripts.openai_stream(["Ciao", "!"], gap_seconds=0.002))
    async with _reloading(tmp_path, chat_file(stream_llm.url), _file(json_llm.url)) as gateway:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            paths = [(OTHER, False)] * 4 + [(CHAT, True)] * 4
            clients = [group.create_task(_load(gateway, stop, path, stream=stream)) for path, stream in paths]
            versions = await asyncio.to_thread(_versions, tmp_path, json_llm.url)
            for number in range(990):
                gateway.served.take(versions[number % 2])
                await asyncio.sleep(0.003)
            for number in range(10):
                await gateway.taken(partial(gateway.save, "1.yaml", _file(json_llm.url, parameters={"seed": number})))
            stop.set()
        assert gateway.served.version >= 1000
        assert sum(client.result() for client in clients) > 200
        assert gateway.served.draining("other") == 0
    asked = [request for request in json_llm.requests if request.method == "POST"]  # the gateway looks at /ready, too
    assert len({request.json.get("seed") for request in asked}) > 5
    assert await pending_requests_settle()
