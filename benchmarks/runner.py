"""Runs the scenarios: rounds outside, contenders inside, so that a slow minute of the machine hits everyone."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.contenders import OURS, Contender, serving
from benchmarks.cores import Cores, one_core_each, room_for_workers
from benchmarks.load import run_load
from benchmarks.paths import CHAT_PATH, GRADE_PATH
from benchmarks.scenarios import Case, Scenario
from benchmarks.servers import PROJECT_ROOT, Server, on_cores
from benchmarks.targets import IMPORT_COMPS
from benchmarks.tools.build import Tools
from benchmarks.upstream import running_upstream

#: One measurement: scenario, label, round, and the numbers.
Sample = dict[str, Any]
Say = Callable[[str], None]


class Bench:
    """One run of the benchmark.

    Args:
        tools: Compiled.
        contenders: Those that can run here.
        folder: For logs and requests.
        available: The cores that may be used.
        say: Tells the user what is going on.
    """

    def __init__(
        self, tools: Tools, contenders: dict[str, Contender], folder: Path, available: frozenset[int], say: Say
    ) -> None:
        self._tools = tools
        self._contenders = contenders
        self._folder = folder
        self._available = available
        self._say = say

    def run(self, scenario: Scenario, rounds: int) -> list[Sample]:
        """Return a sample of each case and round, of which a scenario may make more."""
        rounds *= scenario.times
        cores = (room_for_workers if scenario.many_cores else one_core_each)(self._available)
        cases = [case for case in scenario.cases if case.contender in self._contenders]
        samples = []
        with ExitStack() as stack:
            upstream = stack.enter_context(running_upstream(self._tools.upstream, self._folder, cores.tools))
            kept = _KeptServers(stack, self._contenders, upstream, self._folder, cores)
            for number in range(rounds):
                for case in _rotated(cases, number):
                    if case.most_rounds is not None and number >= case.most_rounds:
                        continue
                    numbers = self._sample(scenario, case, kept, upstream, cores)
                    samples.append({"scenario": scenario.name, "label": case.label, "round": number + 1, **numbers})
                    self._say(f"  {scenario.name} {number + 1}/{rounds} {case.label}: {_in_short(numbers['load'])}")
        return samples

    def start_times(self, rounds: int) -> dict[str, list[float]]:
        """Return the seconds until our gateway answers, and those of a bare `import comps`, in turn."""
        cores = one_core_each(self._available)
        seconds: dict[str, list[float]] = {OURS: [], IMPORT_COMPS: []}
        with running_upstream(self._tools.upstream, self._folder, cores.tools) as upstream:
            for number in range(rounds + 1):  # the first round fills the page cache and writes the bytecode
                started = time.perf_counter()
                with on_cores(cores.gateway):
                    subprocess.run([sys.executable, "-c", "import comps"], cwd=PROJECT_ROOT, check=True)
                imported = time.perf_counter()
                with serving(self._contenders[OURS], upstream, self._folder, cores.gateway):
                    ready = time.perf_counter()
                if number > 0:
                    seconds[IMPORT_COMPS].append(imported - started)
                    seconds[OURS].append(ready - imported)
        return seconds

    def graph_times(self, rounds: int) -> list[dict[str, dict[str, float]]]:
        """Return the CPU seconds per request of chains and fan-outs in our orchestrator, for each round."""
        cores = one_core_each(self._available)
        results = []
        for _ in range(rounds):
            with on_cores(cores.gateway):
                command = [sys.executable, "-m", "benchmarks.graphs"]
                result = subprocess.run(command, cwd=PROJECT_ROOT, capture_output=True, text=True, check=True)
            results.append(json.loads(result.stdout))
        return results

    def _sample(
        self, scenario: Scenario, case: Case, kept: _KeptServers, upstream: Server, cores: Cores
    ) -> dict[str, Any]:
        with kept.lend(case.contender, fresh=scenario.fresh) as server:
            before = _cpu(server, upstream)
            url = f"http://127.0.0.1:{server.port}{GRADE_PATH if case.graded else CHAT_PATH}"
            load = run_load(
                self._tools.load, url, scenario.load, folder=self._folder, cores=cores.tools, graded=case.graded
            )
            after = _cpu(server, upstream)
            numbers = {
                "load": load,
                "gateway_cpu_seconds": after[0] - before[0],
                "upstream_cpu_seconds": after[1] - before[1],
                "peak_rss_mb": server.peak_rss_bytes() / 1e6,
            }
        if load["errors"]:
            kept.distrust(case.contender)
        return numbers


class _KeptServers:
    """One process per contender for the length of a scenario, or a new one for each measurement."""

    def __init__(
        self, stack: ExitStack, contenders: dict[str, Contender], upstream: Server, folder: Path, cores: Cores
    ) -> None:
        self._stack = stack
        self._contenders = contenders
        self._upstream = upstream
        self._folder = folder
        self._cores = cores.gateway
        self._kept: dict[str, tuple[Server, ExitStack]] = {}

    @contextmanager
    def lend(self, name: str, *, fresh: bool) -> Iterator[Server]:
        """Give a running server: the kept one, or one that ends with the block."""
        if fresh:
            with serving(self._contenders[name], self._upstream, self._folder, self._cores) as server:
                yield server
            return
        if name not in self._kept:
            own = self._stack.enter_context(ExitStack())
            server = own.enter_context(serving(self._contenders[name], self._upstream, self._folder, self._cores))
            self._kept[name] = server, own
        yield self._kept[name][0]

    def distrust(self, name: str) -> None:
        """Replace a server before its next measurement: what failed may still be stuck in it."""
        if name in self._kept:
            self._kept.pop(name)[1].close()


def _cpu(server: Server, upstream: Server) -> tuple[float, float]:
    ours = 0.0 if server is upstream else server.cpu_seconds()
    return ours, upstream.cpu_seconds()


def _rotated(cases: Sequence[Case], number: int) -> list[Case]:
    """Start each round with another case, so that nobody is always the one behind the heaviest."""
    start = number % len(cases) if cases else 0
    return [*cases[start:], *cases[:start]]


def _in_short(load: dict[str, Any]) -> str:
    text = f"{load['succeeded']} of {load['requests']} in {load['seconds']:.1f} s"
    if load["ttft_ms"]:
        text += f", {load['tokens_per_second']:,.0f} tokens/s, TTFT p99 {load['ttft_ms']['p99']:.1f} ms"
    elif load["latency_ms"]:
        text += f", {load['rps']:,.0f}/s, p50 {load['latency_ms']['p50']:.3f} ms"
    return f"{text} {load['errors_by_kind'] or ''}".rstrip()
