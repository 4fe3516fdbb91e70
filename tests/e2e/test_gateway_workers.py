"""The gateway as several processes on one port: `python -m megaservice serve --workers N`."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psutil
import pytest
import yaml

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GREETING, chat_file
from tests.support.network import find_free_port
from tests.support.processes import ServiceProcess, start_process

pytestmark = pytest.mark.slow

#: A worker's values are on the page of another one by then.
_BEHIND_SECONDS = 1.0


def _start(folder: Path, llm_url: str, *, workers: int = 2, text: str | None = None) -> ServiceProcess:
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    (pipelines / "chat.yaml").write_text(text or yaml.safe_dump(chat_file(llm_url), sort_keys=False))
    port = find_free_port()
    environment = {"MEGA_SERVICE_PORT": str(port), "PIPELINES_DIR": str(pipelines), "TMPDIR": str(folder)}
    arguments = ("-m", "megaservice", "serve", "--workers", str(workers))
    return start_process(*arguments, log_path=folder / "gateway.log", port=port, environment=environment)


@asynccontextmanager
async def _workers(folder: Path, llm_url: str) -> AsyncIterator[ServiceProcess]:
    gateway = await asyncio.to_thread(_start, folder, llm_url)
    try:
        await asyncio.to_thread(gateway.wait_until_ready, "/health")
        await _until_workers(gateway, 2)
        yield gateway
    finally:
        await asyncio.to_thread(gateway.stop)


async def _get(url: str) -> httpx.Response:
    """Ask on a connection of its own, so that any worker may answer."""
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        return await client.get(url)


async def _ask(url: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=20, trust_env=False) as client:
        return await client.post(url + CHAT, json={"messages": GREETING})


async def _metric(gateway: ServiceProcess, name: str) -> float:
    page = (await _get(gateway.url + "/metrics")).text
    values = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith((f"{name} ", f"{name}{{"))]
    return sum(float(value) for value in values)


async def _until_workers(gateway: ServiceProcess, count: int) -> None:
    async with asyncio.timeout(20):
        while await _metric(gateway, "megaservice_workers") != count:  # noqa: ASYNC110 - it is seen from outside
            await asyncio.sleep(0.05)


def _worker_pids(gateway: ServiceProcess) -> set[int]:
    return {process.pid for process in psutil.Process(gateway.pid).children()}


def _kill(pid: int) -> None:
    """Kill a process and wait until it is gone: until then it may accept a connection, which dies with it."""
    process = psutil.Process(pid)
    process.kill()
    process.wait(10)


async def test_both_workers_serve_and_metrics_are_their_sum(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Whichever worker is asked, the page counts within a second what both answered; gauges are zero again."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _workers(tmp_path, llm.url) as gateway:
        answers = await asyncio.gather(*(_ask(gateway.url) for _ in range(40)))
        await asyncio.sleep(_BEHIND_SECONDS)
        counts = {
            await _metric(gateway, f'http_requests_total{{handler="{CHAT}",method="POST",status="200"}}')
            for _ in range(6)
        }
        latencies = await _metric(gateway, "megaservice_request_latency_count")
        pending = await _metric(gateway, "megaservice_request_pending")
        files = await asyncio.to_thread(lambda: list(tmp_path.glob("megaservice-metrics-*/counter_*.db")))
    assert [answer.status_code for answer in answers] == [200] * 40
    assert counts == {40.0}
    assert (latencies, pending) == (40.0, 0.0)
    assert len(files) == 2
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("megaservice-metrics-*")))


async def test_killed_worker_is_started_again_and_the_port_is_never_lost(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """New connections are answered all the while; what the dead worker had counted stays, its gauges go."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _workers(tmp_path, llm.url) as gateway:
        await asyncio.gather(*(_ask(gateway.url) for _ in range(10)))
        await asyncio.sleep(_BEHIND_SECONDS)
        before = await asyncio.to_thread(_worker_pids, gateway)
        victim = min(before)
        await asyncio.to_thread(_kill, victim)
        answers = await asyncio.gather(*(_ask(gateway.url) for _ in range(20)))
        await _until_workers(gateway, 2)
        after = await asyncio.to_thread(_worker_pids, gateway)
        await asyncio.sleep(_BEHIND_SECONDS)
        count = await _metric(gateway, f'http_requests_total{{handler="{CHAT}",method="POST",status="200"}}')
        log = await asyncio.to_thread(lambda: gateway.log)
    assert [answer.status_code for answer in answers] == [200] * 20
    assert victim not in after
    assert len(after) == 2
    assert len(before & after) == 1
    assert count == 30.0
    assert f"(pid {victim}) ended by signal 9; it is started again" in log


async def test_worker_that_cannot_start_again_takes_no_connections(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """A file that became wrong keeps a new worker from starting; the others answer all until it is mended."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _workers(tmp_path, llm.url) as gateway:
        file = tmp_path / "pipelines" / "chat.yaml"
        good = await asyncio.to_thread(file.read_text)
        await asyncio.to_thread(file.write_text, "opea_micro_services: {}\n")
        await asyncio.to_thread(_kill, min(await asyncio.to_thread(_worker_pids, gateway)))
        async with asyncio.timeout(40):
            while "started again in 0.4 s" not in await asyncio.to_thread(lambda: gateway.log):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        answers = await asyncio.gather(*(_ask(gateway.url) for _ in range(20)))
        await asyncio.to_thread(file.write_text, good)
        await _until_workers(gateway, 2)
    assert [answer.status_code for answer in answers] == [200] * 20


async def test_sigterm_lets_running_streams_end(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Every worker drains; the exit code is 0, and the port is free afterwards."""
    llm = await scripted_upstream(scripts.openai_stream(["Ciao", "!", " Come stai?"], gap_seconds=0.4))
    gateway = await asyncio.to_thread(_start, tmp_path, llm.url)
    await asyncio.to_thread(gateway.wait_until_ready, "/health")
    await _until_workers(gateway, 2)
    started = asyncio.Event()

    async def stream() -> bytes:
        body = {"messages": GREETING, "stream": True}
        async with (
            httpx.AsyncClient(timeout=20, trust_env=False) as client,
            client.stream("POST", gateway.url + CHAT, json=body) as response,
        ):
            received = b""
            async for part in response.aiter_bytes():
                started.set()
                received += part
            return received

    async with asyncio.TaskGroup() as group:
        streams = [group.create_task(stream()) for _ in range(6)]
        await started.wait()
        await asyncio.sleep(0.2)
        gateway.signal(signal.SIGTERM)
        code = await asyncio.to_thread(gateway.wait)
    assert code == 0
    assert all(task.result().endswith(b"data: [DONE]\n\n") for task in streams)
    with pytest.raises(httpx.ConnectError):
        await _get(gateway.url + "/health")


async def test_workers_end_when_the_process_above_them_is_killed(refused_url: str, tmp_path: Path) -> None:
    """Nobody is left to hold the port."""
    gateway = await asyncio.to_thread(_start, tmp_path, refused_url)
    await asyncio.to_thread(gateway.wait_until_ready, "/health")
    await _until_workers(gateway, 2)
    workers = await asyncio.to_thread(lambda: psutil.Process(gateway.pid).children())
    gateway.signal(signal.SIGKILL)
    await asyncio.to_thread(gateway.wait)
    _, alive = await asyncio.to_thread(psutil.wait_procs, workers, 10)
    assert not alive


async def test_saved_file_reaches_every_worker(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """Each worker watches the folder by itself."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    async with _workers(tmp_path, llm.url) as gateway:
        document = chat_file(llm.url, parameters={"seed": 7})
        file = tmp_path / "pipelines" / "chat.yaml"
        await asyncio.to_thread(file.write_text, yaml.safe_dump(document, sort_keys=False))
        async with asyncio.timeout(10):
            seeds: list[int | None] = []
            while seeds[-16:] != [7] * 16:
                await asyncio.gather(*(_ask(gateway.url) for _ in range(16)))
                seeds = [request.json.get("seed") for request in llm.requests]


def test_configuration_error_stops_all_with_exit_code_2(tmp_path: Path) -> None:
    """A supervisor must not restart it; each problem is told once."""
    gateway = _start(tmp_path, "", workers=3, text="opea_micro_services: {}\n")
    assert gateway.wait(30) == 2
    problems = [line for line in gateway.log.splitlines() if "chat.yaml:" in line]
    assert problems
    assert len(set(problems)) == len(problems)


def test_port_that_is_taken_is_one_sentence(tmp_path: Path) -> None:
    """Also where those who have it would share it."""
    first = _start(tmp_path, "http://127.0.0.1:1")
    try:
        first.wait_until_ready("/health")
        environment = {"MEGA_SERVICE_PORT": str(first.port), "GATEWAY_WORKERS": "2"}
        second = start_process("-m", "megaservice", log_path=tmp_path / "second.log", environment=environment)
        assert second.wait(30) == 2
        assert f"Port {first.port} on 127.0.0.1 is already in use" in second.log
    finally:
        first.stop()
