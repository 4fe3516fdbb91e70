"""The page and the picture that a run is written as."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from benchmarks.contenders import DIRECT, NGINX, OURS, OURS_TWO_WORKERS, RAW, STOCK
from benchmarks.plot import Bar, Panel, ratio_panels, render_svg
from benchmarks.report import number, render_report, summary_of, table
from benchmarks.scenarios import all_scenarios
from benchmarks.targets import GRADED, all_targets, at_least, at_most, limit_of

RPS = {DIRECT: 90_000.0, NGINX: 50_000.0, STOCK: 1_000.0, OURS: 20_000.0}


def _load(**numbers: Any) -> dict[str, Any]:
    percentiles = {"p50": 1.0, "p90": 2.0, "p99": 3.0, "max": 4.0}
    return {
        "requests": 1000,
        "succeeded": 1000,
        "errors": 0,
        "errors_by_kind": {},
        "seconds": 2.0,
        "total_seconds": 2.5,
        "rps": 0.0,
        "tokens": 100_000,
        "all_succeeded": 1100,
        "all_tokens": 100_000,
        "tokens_per_second": 50_000.0,
        "cpu_seconds": 0.5,
        "latency_ms": percentiles,
        "ttft_ms": percentiles,
        "gap_ms": percentiles,
        **numbers,
    }


def _sample(scenario: str, label: str, **load: Any) -> dict[str, Any]:
    return {
        "scenario": scenario,
        "label": label,
        "round": 1,
        "load": _load(**load),
        "gateway_cpu_seconds": 0.0 if label == DIRECT else 2.0,
        "upstream_cpu_seconds": 0.5,
        "peak_rss_mb": 100.0,
    }


def _results(*, with_nginx: bool = True) -> dict[str, Any]:
    json_samples = [_sample("json", label, rps=rps) for label, rps in RPS.items() if with_nginx or label != NGINX]
    storm = [_sample("storm", label) for label in (DIRECT, NGINX, OURS) if with_nginx or label != NGINX]
    empty = {"succeeded": 0, "errors": 1000, "all_tokens": 0, "ttft_ms": None, "gap_ms": None, "seconds": 15.0}
    return {
        "measured_at": "2026-01-01 00:00 UTC",
        "quick": False,
        "rounds": 1,
        "machine": {
            "cpu": "A Processor",
            "cores": 2,
            "kernel": "6.1",
            "architecture": "x86_64",
            "load_average_at_start": [0.1, 0.2, 0.3],
        },
        "versions": {"Python": "3.11.7", "nginx": "1.22.1"},
        "samples": [*json_samples, *storm, _sample("storm", STOCK, **empty)],
        "start_seconds": {"ours": [1.0], "import comps": [0.8]},
        "graph_seconds": [{"chain": {"5": 0.1, "10": 0.2, "20": 0.4}, "fan": {"12": 0.1, "25": 0.2, "50": 0.7}}],
    }


@pytest.mark.parametrize(
    ("value", "expected"), [(None, "-"), (0.03491, "0.0349"), (2.0, "2"), (15.26, "15.3"), (12_345.6, "12,346")]
)
def test_number_has_three_digits_that_mean_something(value: float | None, expected: str) -> None:
    """Nobody reads the seventh digit of a rate."""
    assert number(value) == expected


def test_table_has_a_rule_below_its_header() -> None:
    """It is Markdown."""
    assert table(["", "x"], [["a", "1"]]) == "|  | x |\n| --- | --: |\n| a | 1 |"


def test_target_is_met_up_to_its_bound() -> None:
    """Both kinds include the bound; without a number there is no verdict."""
    assert at_least("a", 15.0, 15, "x").met is True
    assert at_least("a", 14.9, 15, "x").met is False
    assert at_most("a", 0.3, 0.3, "ms").met is True
    assert at_most("a", None, 0.3, "ms").met is None


def test_targets_compare_with_nginx_or_with_the_raw_proxy() -> None:
    """Where there is no nginx, the bare asyncio proxy is the limit."""
    assert limit_of(summary_of(_results())) == NGINX
    assert limit_of(summary_of(_results(with_nginx=False))) == RAW


def test_targets_are_computed_from_the_samples() -> None:
    """Ratios of the JSON scenario, completion of the storm, the start, the graphs."""
    found = {(target.name, target.versus): target for target in all_targets(summary_of(_results()))}
    assert found["JSON requests/s, one LLM node", STOCK].value == 20.0
    assert found["JSON requests/s, one LLM node", NGINX].value == 0.4
    assert found["1000 streams: completed", ""].value == 100.0
    start = found["first healthy answer, beyond a bare import comps", ""]
    assert start.value == pytest.approx(0.2)
    assert found["time for 20 nodes in a row, for 10", ""].met is True
    assert found["time for 50 nodes side by side, for 25", ""].met is False
    assert found["tokens/s at full speed", STOCK].met is None


def test_targets_count_the_worst_round_of_a_storm() -> None:
    """A median would hide a round that failed."""
    results = _results()
    results["samples"].append({**_sample("storm", OURS, succeeded=990, errors=10), "round": 2})
    completed = next(t for t in all_targets(summary_of(results)) if t.name == "1000 streams: completed")
    assert completed.value == 99.0
    assert completed.met is False


def test_targets_count_every_failure_of_ours() -> None:
    """A gateway that drops requests is fast; stock's failures are its own."""
    results = _results()
    assert all_targets(summary_of(results))[0].met is True
    results["samples"].append(_sample("json", OURS, errors=3))
    assert all_targets(summary_of(results))[0].value == 3


def test_targets_of_workers_take_three_cores() -> None:
    """On two they and the tools share both, and a second worker can only take from the first."""
    results = _results()
    results["samples"] += [_sample("workers", OURS, rps=2.0), _sample("workers", OURS_TWO_WORKERS, rps=4.0)]
    assert all_targets(summary_of(results))[-1].met is None
    results["machine"]["cores"] = 3
    assert all_targets(summary_of(results))[-1].value == 2.0


def test_report_says_machine_verdicts_and_what_failed() -> None:
    """All that is needed to judge the numbers is on the page."""
    page = render_report(_results(), all_scenarios())
    assert "A Processor, 2 cores, Linux 6.1 (x86_64); load average at the start: 0.10, 0.20, 0.30." in page
    assert "Python 3.11.7, nginx 1.22.1." in page
    assert "| JSON requests/s, one LLM node | 20x stock | ≥ 15x stock | met |" in page
    assert "| time for 50 nodes side by side, for 25 | 3.5x | ≤ 2.4x | **missed** |" in page
    assert "| tokens/s at full speed | - | ≥ 10x stock | not measured |" in page
    assert "| stock | 0 of 1000 in 15 s |" in page
    assert "median of 1 round," in page
    assert "{" not in page


def test_report_leaves_out_what_was_not_run() -> None:
    """`--only json` gives a page about JSON."""
    results = {**_results(), "start_seconds": {}, "graph_seconds": []}
    page = render_report(results, all_scenarios())
    assert "## JSON, one LLM node" in page
    assert "## Streams at full speed" not in page
    assert "## Start" not in page
    assert "in process" not in page


def test_report_warns_of_what_makes_its_numbers_worthless() -> None:
    """Numbers that prove nothing say so."""
    warnings = ("A quick run", "The machine was busy", "One core for everything", "failed without a gateway")
    assert not any(warning in render_report(_results(), all_scenarios()) for warning in warnings)
    results = _results()
    results["quick"] = True
    results["machine"] |= {"cores": 1, "load_average_at_start": [2.0, 1.0, 1.0]}
    results["samples"].append(_sample("storm", DIRECT, errors=1))
    page = render_report(results, all_scenarios())
    assert all(warning in page for warning in warnings)


def test_plot_draws_a_bar_for_each_ratio_that_was_measured() -> None:
    """Scenarios that were left out leave no bar, and a panel without bars is no panel."""
    panels = ratio_panels(summary_of(_results()))
    assert [panel.title for panel in panels] == ["How many times stock OPEA", "How many times nginx"]
    assert [(bar.value, bar.bound) for bar in panels[0].bars] == [(20.0, 15.0)]
    assert ratio_panels(summary_of({**_results(), "samples": []})) == []


def test_plot_colours_a_bar_by_its_target() -> None:
    """Less is better for some."""
    assert Bar("a", 1.0, 2.0, at_least=True).css_class == "missed"
    assert Bar("a", 1.0, 2.0, at_least=False).css_class == "met"
    assert Bar("a", 1.0).css_class == "met"


def test_plot_is_well_formed_and_readable_on_dark_pages() -> None:
    """A browser draws it as it is; text is escaped."""
    text = render_svg([Panel("a < b", [Bar("x & y", 2.0, 4.0), Bar("z", 1.0)])])
    root = ElementTree.fromstring(text)  # noqa: S314 - our own text
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect")]
    assert widths[0] == 2 * widths[1]
    assert "x & y" in [element.text for element in root.iter(f"{space}text")]
    assert "prefers-color-scheme: dark" in text


def test_plot_of_nothing_is_a_picture() -> None:
    """`--only start` has no ratios."""
    ElementTree.fromstring(render_svg([]))  # noqa: S314 - our own text


def test_scenarios_have_names_of_their_own_and_known_contenders() -> None:
    """`--only` picks by name, and a table's row by label."""
    scenarios = all_scenarios()
    assert len({scenario.name for scenario in scenarios}) == len(scenarios)
    for scenario in scenarios:
        labels = [case.label for case in scenario.cases]
        assert len(set(labels)) == len(labels)
    assert any(case.label == OURS + GRADED for scenario in scenarios for case in scenario.cases)
