"""What the gateway is held to: each target a number from the run and its bound."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from benchmarks import summary as measured
from benchmarks.contenders import DIRECT, NGINX, OURS, OURS_TWO_WORKERS, RAW, STOCK
from benchmarks.cores import CORES_FOR_WORKERS
from benchmarks.summary import Summary

GRADED = ", graded"
#: What a start is compared with.
IMPORT_COMPS = "import comps"
STORMS = {"storm": "1000 streams", "held": "the same, headers held", "stalled": "the same, 45 others stalled"}
#: Twice the nodes may cost so many times the time and still count as linear: timers and caches are not exact.
_LINEAR = 2.4


@dataclass(frozen=True, slots=True)
class Target:
    """One number and its bound.

    Attributes:
        name: What is measured.
        value: None where the run did not measure it.
        bound: The least or the most that it may be.
        at_least: Which of the two.
        unit: Written behind the number.
        versus: Whom it is a ratio to; empty where it is none.
    """

    name: str
    value: float | None
    bound: float
    at_least: bool
    unit: str
    versus: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bound holds; None where nothing was measured."""
        if self.value is None:
            return None
        return self.value >= self.bound if self.at_least else self.value <= self.bound


def at_least(name: str, value: float | None, bound: float, unit: str, versus: str = "") -> Target:
    """Return a target whose number may not be smaller."""
    return Target(name, value, bound, True, unit, versus)


def at_most(name: str, value: float | None, bound: float, unit: str, versus: str = "") -> Target:
    """Return a target whose number may not be larger."""
    return Target(name, value, bound, False, unit, versus)


def limit_of(summary: Summary) -> str:
    """Return whose figures are the practical limit: nginx's, or the raw proxy's where there is no nginx."""
    return NGINX if any(sample["label"] == NGINX for sample in summary.samples) else RAW


def all_targets(summary: Summary) -> list[Target]:
    """Return every target, measured or not."""
    return [
        _failures_target(summary),
        *_json_targets(summary),
        *_stream_targets(summary),
        *_storm_targets(summary),
        *_start_targets(summary),
        *_graph_targets(summary),
        *_worker_targets(summary),
    ]


def is_sound(summary: Summary) -> bool:
    """Return whether the tools did their part: requests that fail without a gateway say nothing about one."""
    return not any(measured.failed(sample) for sample in summary.samples if sample["label"] == DIRECT)


def _failures_target(summary: Summary) -> Target:
    """Return what makes the others count: a gateway that drops requests is fast."""
    failures = [
        measured.failed(sample) or 0.0 for sample in summary.samples if sample["label"] in {OURS, OURS + GRADED}
    ]
    return at_most("requests that failed, of all scenarios", sum(failures) if failures else None, 0, "")


def _json_targets(summary: Summary) -> Iterator[Target]:
    limit, graded = limit_of(summary), OURS + GRADED
    rps, p50 = measured.rps, measured.p50_ms
    yield at_least("JSON requests/s, one LLM node", summary.ratio("json", OURS, STOCK, rps), 15, "x", STOCK)
    yield at_least("JSON requests/s, one LLM node", summary.ratio("json", OURS, limit, rps), 0.25, "x", limit)
    yield at_least(
        "JSON requests/s, LLM then grader", summary.ratio("grade", graded, STOCK + GRADED, rps), 10, "x", STOCK
    )
    yield at_most("added p50, one LLM node", summary.added("latency", OURS, DIRECT, p50), 0.3, "ms")
    through, direct = summary.median("latency", graded, p50), summary.median("latency", DIRECT, p50)
    per_node = None if through is None or direct is None else (through - 2 * direct) / 2
    yield at_most("added p50 per node, LLM then grader", per_node, 0.3, "ms")


def _stream_targets(summary: Summary) -> Iterator[Target]:
    limit = limit_of(summary)
    speed, cpu = measured.tokens_per_second, measured.cpu_per_million_tokens
    yield at_least("tokens/s at full speed", summary.ratio("streams", OURS, STOCK, speed), 10, "x", STOCK)
    yield at_most("CPU per token, 256 streams", summary.ratio("cpu", OURS, limit, cpu), 1.9, "x", limit)
    yield at_most("CPU per token, 256 graded streams", summary.ratio("cpu", OURS + GRADED, limit, cpu), 1.9, "x", limit)


def _storm_targets(summary: Summary) -> Iterator[Target]:
    limit = limit_of(summary)
    for name, title in STORMS.items():
        done = summary.values(name, OURS, measured.completed_share)
        yield at_least(f"{title}: completed", min(done) * 100 if done else None, 100, "%")
        added = summary.added(name, OURS, DIRECT, measured.ttft_p99_ms)
        yield at_most(f"{title}: added TTFT p99", added, 25, "ms")
        yield at_most(f"{title}: gap p99", summary.ratio(name, OURS, limit, measured.gap_p99_ms), 1.5, "x", limit)
    memory = summary.values("storm", OURS, measured.peak_rss_mb)
    yield at_most("peak memory, 1000 streams", max(memory) if memory else None, 150, "MB")


def _start_targets(summary: Summary) -> Iterator[Target]:
    ours, bare = summary.start_median(OURS), summary.start_median(IMPORT_COMPS)
    added = None if ours is None or bare is None else ours - bare
    yield at_most("first healthy answer, beyond a bare import comps", added, 0.5, "s")


def _graph_targets(summary: Summary) -> Iterator[Target]:
    for kind, title, small, large in (
        ("chain", "time for 20 nodes in a row, for 10", 10, 20),
        ("fan", "time for 50 nodes side by side, for 25", 25, 50),
    ):
        few, many = summary.graph_median(kind, small), summary.graph_median(kind, large)
        yield at_most(title, None if not few or many is None else many / few, _LINEAR, "x")


def _worker_targets(summary: Summary) -> Iterator[Target]:
    if OURS_TWO_WORKERS in summary.labels("workers"):
        ratio = summary.ratio("workers", OURS_TWO_WORKERS, OURS, measured.rps)
        enough = summary.cores >= CORES_FOR_WORKERS
        name = "JSON requests/s with 2 workers (takes three cores)"
        yield at_least(name, ratio if enough else None, 1.5, "x", OURS)
