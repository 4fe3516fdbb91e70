"""Medians over the rounds of a run's samples."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

Sample = Mapping[str, Any]
#: Reads one number out of a sample; None where it has none.
Metric = Callable[[Sample], float | None]


def rps(sample: Sample) -> float | None:
    """Requests answered rightly, per second."""
    return float(sample["load"]["rps"])


def p50_ms(sample: Sample) -> float | None:
    """The median latency."""
    return _percentile(sample, "latency_ms", "p50")


def tokens_per_second(sample: Sample) -> float | None:
    """Tokens of all streams, per second."""
    return float(sample["load"]["tokens_per_second"])


def ttft_p50_ms(sample: Sample) -> float | None:
    """The median time to the first token."""
    return _percentile(sample, "ttft_ms", "p50")


def ttft_p99_ms(sample: Sample) -> float | None:
    """The 99th percentile of the time to the first token."""
    return _percentile(sample, "ttft_ms", "p99")


def gap_p99_ms(sample: Sample) -> float | None:
    """The 99th percentile of the time between tokens."""
    return _percentile(sample, "gap_ms", "p99")


def cpu_per_million_tokens(sample: Sample) -> float | None:
    """The gateway's CPU seconds for a million tokens; None where the run did not complete."""
    load = sample["load"]
    if load["errors"] or not load["all_tokens"] or not sample["gateway_cpu_seconds"]:
        return None
    return float(sample["gateway_cpu_seconds"]) / int(load["all_tokens"]) * 1e6


def cpu_us_per_request(sample: Sample) -> float | None:
    """The gateway's CPU microseconds for one request; steadier than a rate where something else runs, too."""
    load = sample["load"]
    if load["errors"] or not load["all_succeeded"] or not sample["gateway_cpu_seconds"]:
        return None
    return float(sample["gateway_cpu_seconds"]) / int(load["all_succeeded"]) * 1e6


def peak_rss_mb(sample: Sample) -> float | None:
    """The largest resident size of the gateway's processes."""
    return float(sample["peak_rss_mb"])


def failed(sample: Sample) -> float | None:
    """Requests that failed."""
    return float(sample["load"]["errors"])


def completed(sample: Sample) -> float | None:
    """Requests that were answered rightly."""
    return float(sample["load"]["succeeded"])


def completed_share(sample: Sample) -> float | None:
    """The share of the requests that were answered rightly; 0 where there was none."""
    load = sample["load"]
    return float(load["succeeded"]) / int(load["requests"]) if load["requests"] else 0.0


def tools_busy(sample: Sample) -> float | None:
    """The share of their core that the upstream and the load generator used: near 1, they are the limit."""
    load = sample["load"]
    return (float(load["cpu_seconds"]) + float(sample["upstream_cpu_seconds"])) / float(load["total_seconds"])


def gateway_busy(sample: Sample) -> float | None:
    """The share of a core that the gateway used; None for the upstream itself."""
    seconds = float(sample["gateway_cpu_seconds"])
    return seconds / float(sample["load"]["total_seconds"]) if seconds else None


def _percentile(sample: Sample, name: str, rank: str) -> float | None:
    values = sample["load"][name]
    return float(values[rank]) if values else None


@dataclass(frozen=True)
class Summary:
    """What a run measured.

    Attributes:
        samples: Of the scenarios.
        start: Seconds until the first healthy answer, and of a bare `import comps`, by name.
        graphs: CPU seconds per request of chains and fan-outs, one entry a round.
        cores: That the run could use.
    """

    samples: Sequence[Sample]
    start: Mapping[str, Sequence[float]] = field(default_factory=dict)
    graphs: Sequence[Mapping[str, Mapping[str, float]]] = ()
    cores: int = 1

    def labels(self, scenario: str) -> list[str]:
        """Return who took part, in the order of the first round."""
        return list(dict.fromkeys(s["label"] for s in self.samples if s["scenario"] == scenario))

    def values(self, scenario: str, label: str, metric: Metric) -> list[float]:
        """Return a metric of every round that has it."""
        chosen = [s for s in self.samples if s["scenario"] == scenario and s["label"] == label]
        return [value for sample in chosen if (value := metric(sample)) is not None]

    def median(self, scenario: str, label: str, metric: Metric) -> float | None:
        """Return the median over the rounds; None where nothing was measured."""
        values = self.values(scenario, label, metric)
        return median(values) if values else None

    def ratio(self, scenario: str, label: str, base: str, metric: Metric) -> float | None:
        """Return one contender's number in terms of another's: the median of the rounds' own ratios.

        A machine's speed changes from one minute to the next; within a round it is the same for both.

        Returns:
            None where either is missing in every round, or the base is zero.
        """
        pairs = self._pairs(scenario, label, base, metric)
        return median([value / other for value, other in pairs if other]) if any(other for _, other in pairs) else None

    def added(self, scenario: str, label: str, base: str, metric: Metric) -> float | None:
        """Return by how much one contender's number exceeds another's: the median of the rounds' own differences."""
        pairs = self._pairs(scenario, label, base, metric)
        return median([value - other for value, other in pairs]) if pairs else None

    def _pairs(self, scenario: str, label: str, base: str, metric: Metric) -> list[tuple[float, float]]:
        """Return both numbers of each round that has them."""
        values, others = self._by_round(scenario, label, metric), self._by_round(scenario, base, metric)
        return [(value, others[number]) for number, value in values.items() if number in others]

    def _by_round(self, scenario: str, label: str, metric: Metric) -> dict[int, float]:
        chosen = [s for s in self.samples if s["scenario"] == scenario and s["label"] == label]
        return {int(s["round"]): value for s in chosen if (value := metric(s)) is not None}

    def start_median(self, name: str) -> float | None:
        """Return the median start time in seconds."""
        return median(self.start[name]) if self.start.get(name) else None

    def graph_median(self, kind: str, size: int) -> float | None:
        """Return the median CPU seconds per request of one graph."""
        return median(entry[kind][str(size)] for entry in self.graphs) if self.graphs else None
