"""Medians, ratios and differences over the rounds of a run."""

from __future__ import annotations

from typing import Any

from benchmarks import summary as measured
from benchmarks.summary import Summary


def _sample(label: str, number: int = 1, *, gateway_cpu_seconds: float = 1.0, **load: Any) -> dict[str, Any]:
    full = {
        "requests": 10,
        "succeeded": 10,
        "errors": 0,
        "seconds": 2.0,
        "total_seconds": 2.5,
        "rps": 5.0,
        "all_succeeded": 20,
        "all_tokens": 1000,
        "cpu_seconds": 0.5,
        "latency_ms": {"p50": 1.0},
        "ttft_ms": None,
        "gap_ms": None,
    }
    return {
        "scenario": "json",
        "label": label,
        "round": number,
        "load": {**full, **load},
        "gateway_cpu_seconds": gateway_cpu_seconds,
        "upstream_cpu_seconds": 0.75,
        "peak_rss_mb": 20.0,
    }


def test_median_is_taken_over_the_rounds() -> None:
    """One slow round out of three changes nothing."""
    summary = Summary([_sample("a", 1, rps=10.0), _sample("a", 2, rps=1.0), _sample("a", 3, rps=11.0)])
    assert summary.median("json", "a", measured.rps) == 10.0


def test_labels_come_in_the_order_of_the_first_round() -> None:
    """Later rounds start with another contender; the tables do not."""
    summary = Summary([_sample("a"), _sample("b"), _sample("b", 2), _sample("a", 2)])
    assert summary.labels("json") == ["a", "b"]
    assert summary.labels("storm") == []


def test_ratio_and_added_compare_two_contenders() -> None:
    """A ratio divides the numbers of a round, a difference subtracts them."""
    summary = Summary([_sample("a", rps=30.0, latency_ms={"p50": 1.5}), _sample("b", rps=2.0)])
    assert summary.ratio("json", "a", "b", measured.rps) == 15.0
    assert summary.added("json", "a", "b", measured.p50_ms) == 0.5


def test_ratio_stands_a_machine_whose_speed_changes() -> None:
    """Each round has its own ratio, and the median of those counts; rounds that only one of them has do not."""
    speeds = {1: (30.0, 2.0), 2: (150.0, 10.0), 3: (16.0, 1.0), 4: (7.0, None)}
    samples = [_sample("a", number, rps=fast) for number, (fast, _) in speeds.items()]
    samples += [_sample("b", number, rps=slow) for number, (_, slow) in speeds.items() if slow is not None]
    assert Summary(samples).ratio("json", "a", "b", measured.rps) == 15.0


def test_ratio_is_none_where_the_other_is_missing_or_zero() -> None:
    """A contender that answered nothing gives no infinite ratio."""
    summary = Summary([_sample("a"), _sample("b", rps=0.0)])
    assert summary.ratio("json", "a", "b", measured.rps) is None
    assert summary.ratio("json", "a", "nginx", measured.rps) is None
    assert summary.added("json", "a", "nginx", measured.p50_ms) is None


def test_percentile_is_none_where_nothing_was_recorded() -> None:
    """A run without one stream has no time to the first token."""
    assert measured.ttft_p99_ms(_sample("a")) is None
    assert measured.ttft_p99_ms(_sample("a", ttft_ms={"p99": 3.0})) == 3.0


def test_cpu_per_million_tokens_counts_complete_runs_only() -> None:
    """CPU of streams that were not delivered has no token to be divided by."""
    assert measured.cpu_per_million_tokens(_sample("a", gateway_cpu_seconds=0.5, all_tokens=20_000)) == 25.0
    assert measured.cpu_per_million_tokens(_sample("a", errors=1)) is None
    assert measured.cpu_per_million_tokens(_sample("a", gateway_cpu_seconds=0.0)) is None


def test_cpu_per_request_counts_the_warm_up() -> None:
    """The gateway's CPU time was spent in it, too."""
    assert measured.cpu_us_per_request(_sample("a")) == 50_000
    assert measured.cpu_us_per_request(_sample("a", errors=1)) is None
    assert measured.cpu_us_per_request(_sample("direct", gateway_cpu_seconds=0.0)) is None


def test_busy_shares_are_of_the_whole_time() -> None:
    """The tools' CPU time was spent in the warm-up, too."""
    assert measured.tools_busy(_sample("a")) == 0.5
    assert measured.gateway_busy(_sample("a")) == 0.4
    assert measured.gateway_busy(_sample("direct", gateway_cpu_seconds=0.0)) is None


def test_completed_share_is_zero_without_requests() -> None:
    """A gateway that takes no connection completed nothing."""
    assert measured.completed_share(_sample("a", succeeded=9)) == 0.9
    assert measured.completed_share(_sample("a", requests=0, succeeded=0)) == 0.0


def test_start_and_graphs_have_medians() -> None:
    """They are measured beside the scenarios."""
    graphs = [{"chain": {"10": seconds}} for seconds in (1.0, 3.0, 2.0)]
    summary = Summary([], {"ours": [0.8, 0.7, 1.9]}, graphs)
    assert summary.start_median("ours") == 0.8
    assert summary.start_median("nothing") is None
    assert summary.graph_median("chain", 10) == 2.0
    assert Summary([]).graph_median("chain", 10) is None
