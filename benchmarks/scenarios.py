"""The table of what is measured, each scenario for several contenders in turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from benchmarks.contenders import DIRECT, NGINX, OURS, OURS_AIOHTTP, OURS_TWO_WORKERS, RAW, STOCK
from benchmarks.load import Load, StreamScript

#: 50 tokens a second, the first after 100 ms: a large model on a good machine.
_REALISTIC = StreamScript(tokens=100, interval_ms=20, first_token_ms=100)
#: Eight events a write: one a write would measure how fast the upstream can write.
_FULL_SPEED = StreamScript(tokens=200, tokens_per_write=8)

_LIMITS = (DIRECT, NGINX, RAW)
#: Into so many measurements a round of a scenario is cut whose processes stay.
_SLICES = 5


@dataclass(frozen=True, slots=True)
class Case:
    """One contender in a scenario.

    Attributes:
        contender: Its name.
        graded: Through the pipeline `llm >> grader` instead of the LLM alone.
        most_rounds: Fewer rounds than the others get, for those that are known to use their whole time limit.
    """

    contender: str
    graded: bool = False
    most_rounds: int | None = None

    @property
    def label(self) -> str:
        """What the tables call it."""
        return f"{self.contender}, graded" if self.graded else self.contender


@dataclass(frozen=True, slots=True)
class Scenario:
    """A load, and who gets it.

    Attributes:
        name: For `--only`.
        title: For the tables.
        load: The same for all.
        cases: In the order of the first round; later rounds start with another one.
        fresh: Every measurement has a process of its own, so that connections are new and the memory is its own.
        many_cores: The gateway gets all cores but the tools'.
        needs: Without this contender there is nothing to compare.
        times: So often in each of the run's rounds: short measurements in turn stand a machine whose speed changes.
    """

    name: str
    title: str
    load: Load
    cases: Sequence[Case]
    fresh: bool = False
    many_cores: bool = False
    needs: str | None = None
    times: int = 1


def _cases(*names: str) -> list[Case]:
    return [Case(name) for name in names]


def _storm(
    name: str, title: str, stream: StreamScript = _REALISTIC, stalled: int = 0, ramp_seconds: float = 1.0
) -> Scenario:
    load = Load(1000, stream, requests=1000, timeout_seconds=15, stalled=stalled, ramp_seconds=ramp_seconds)
    cases = [*_cases(*_LIMITS, OURS, OURS_AIOHTTP), Case(STOCK, most_rounds=1)]
    return Scenario(name, title, load, cases, fresh=True)


def all_scenarios() -> list[Scenario]:
    """Return the scenarios that need contenders as processes."""
    json_load = Load(64, duration_seconds=0.5, warmup_seconds=0.1)
    everyone = _cases(*_LIMITS, STOCK, OURS, OURS_AIOHTTP)
    return [
        Scenario("json", "JSON, one LLM node, 64 connections", json_load, everyone, times=_SLICES),
        Scenario(
            "latency",
            "JSON, one connection",
            Load(1, duration_seconds=0.4, warmup_seconds=0.1),
            [*everyone, Case(STOCK, graded=True), Case(OURS, graded=True), Case(OURS_AIOHTTP, graded=True)],
            times=_SLICES,
        ),
        Scenario(
            "grade",
            "JSON, LLM then grader, 64 connections",
            json_load,
            [Case(name, graded=True) for name in (STOCK, OURS, OURS_AIOHTTP)],
            times=_SLICES,
        ),
        Scenario(
            "streams",
            "streams at full speed, 64 connections",
            Load(64, _FULL_SPEED, duration_seconds=0.5, warmup_seconds=0.1),
            everyone,
            times=_SLICES,
        ),
        Scenario(
            "cpu",
            "256 streams of 50 tokens/s",
            Load(256, _REALISTIC, requests=512, timeout_seconds=20),
            [*everyone, Case(OURS, graded=True), Case(OURS_AIOHTTP, graded=True)],
        ),
        _storm("storm", "1000 streams of 50 tokens/s, begun within a second"),
        _storm("held", "the same, headers held until the first token", replace(_REALISTIC, holds_headers=True)),
        _storm("stalled", "the same, beside 45 streams that stall", stalled=45),
        _storm("burst", "1000 streams of 50 tokens/s, opened in one instant", ramp_seconds=0.0),
        Scenario(
            "workers",
            "JSON, 64 connections, all cores",
            json_load,
            _cases(OURS, OURS_TWO_WORKERS),
            many_cores=True,
            needs=OURS_TWO_WORKERS,
            times=_SLICES,
        ),
    ]


def quick(scenario: Scenario) -> Scenario:
    """Return a scenario that takes a second or two a case: does everything work?"""
    load = scenario.load
    if load.requests == 0:
        return replace(scenario, load=replace(load, duration_seconds=0.4, warmup_seconds=0.1), times=1)
    count = min(load.connections, 100)
    stream = replace(load.stream, tokens=20) if load.stream else None
    return replace(scenario, load=replace(load, connections=count, requests=count, stream=stream, timeout_seconds=3))
