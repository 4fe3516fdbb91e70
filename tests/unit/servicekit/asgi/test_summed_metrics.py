"""The metrics of several processes on one page."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from servicekit.asgi.metrics_page import metrics_page
from servicekit.environment import PROJECT_ROOT
from servicekit.metrics_folder import FOLDER_VARIABLE, forget_process

_PROCESS = """
import os, sys
from prometheus_client import Counter, Gauge, Histogram
Counter("answers", "All", ["path"]).labels("/a").inc(int(sys.argv[1]))
Gauge("pending", "Made as comps makes its own").set(int(sys.argv[1]))
Gauge("workers", "One each", multiprocess_mode="livesum").set(1)
Histogram("latency", "Seconds").observe(0.5)
print(os.getpid())
"""

_ASYNC_PROCESS = """
import asyncio, os, sys
from time import monotonic
from servicekit.asgi.metrics import HttpMetrics
async def answer():
    metrics = HttpMetrics()
    for _ in range(int(sys.argv[1])):
        metrics.begin(monotonic())
        metrics.end("GET", "/a", 200, 0.5, 0.5, monotonic())
asyncio.run(answer())
print(os.getpid())
"""


def _run(folder: Path, amount: int, process: str = _PROCESS) -> int:
    """Let a process of its own count; return its id."""
    result = subprocess.run(
        [sys.executable, "-c", process, str(amount)],
        cwd=PROJECT_ROOT,
        env={**os.environ, FOLDER_VARIABLE: str(folder)},
        capture_output=True,
        text=True,
        check=True,
    )
    return int(result.stdout)


def test_page_sums_counters_histograms_and_every_gauge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also a gauge that does not say how it is merged; no process id is in any label."""
    _run(tmp_path, 3)
    _run(tmp_path, 4)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    page = metrics_page([]).decode()
    assert 'answers_total{path="/a"} 7.0' in page
    assert "\npending 7.0" in page
    assert "\nworkers 2.0" in page
    assert "\nlatency_count 2.0" in page
    assert "pid=" not in page


def test_dead_process_leaves_its_counts_but_not_its_gauges(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was answered stays answered; nothing is pending in a process that is gone."""
    dead = _run(tmp_path, 3)
    _run(tmp_path, 4)
    forget_process(tmp_path, dead)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    page = metrics_page([]).decode()
    assert 'answers_total{path="/a"} 7.0' in page
    assert "\npending 4.0" in page
    assert "\nworkers 1.0" in page


def test_process_that_ends_leaves_all_that_it_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also what it had observed in its last moment, which no timer came to hand over."""
    _run(tmp_path, 3, _ASYNC_PROCESS)
    _run(tmp_path, 4, _ASYNC_PROCESS)
    monkeypatch.setenv(FOLDER_VARIABLE, str(tmp_path))
    page = metrics_page([]).decode()
    assert 'http_requests_total{handler="/a",method="GET",status="200"} 7.0' in page
    assert 'http_request_duration_seconds_sum{handler="/a"} 3.5' in page
    assert "\nhttp_requests_in_flight 0.0" in page
