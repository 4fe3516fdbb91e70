"""Writes a run as Markdown: targets first, then every scenario, then how it was measured."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from benchmarks import summary as measured
from benchmarks.contenders import NGINX
from benchmarks.graphs import CHAINS, FANS
from benchmarks.scenarios import Scenario
from benchmarks.summary import Metric, Sample, Summary
from benchmarks.targets import IMPORT_COMPS, Target, all_targets, is_sound, limit_of

_METHOD = """\
Every contender is a process of its own before the same upstream. The upstream and the load generator are
single-threaded C programs ([tools/](../tools)) on one core, the gateway runs on another. How busy both cores were
is in the last columns: where the tools' core is near 100% and the gateway's is not, the tools were the limit, and
the contender could do more; *direct* is what they can do without a gateway. Rounds are interleaved, every round
measures every contender once, and a figure is the median of {rounds}, of five short ones in each where the processes
stay. A ratio or a difference is taken within each round, and is the median of those; completed is the worst of them.
An answer counts only if its content is there: the expected text, all tokens of a stream, `[DONE]`. Times start when
the connection is opened, or with the request on one that is kept. At full speed the upstream writes eight events of
about 180 bytes at once, each an HTTP chunk of its own; at 50 tokens/s it writes each by itself. *stock* is
opea-comps' own orchestrator, services and server, wired as OPEA's examples wire them. *ours* is `python -m
megaservice serve` with the shipped pipelines and default settings: metrics, request ids and everything else are on.
CPU and memory are the gateway's processes', from `/proc`. Absolute numbers change with the machine; compare ratios."""

#: A load average of so much for each core is somebody else's work.
_BUSY = 0.35
_NOT_MEASURED = "-"


def render_report(results: Mapping[str, Any], scenarios: Sequence[Scenario]) -> str:
    """Return the whole page.

    Args:
        results: As in latest.json.
        scenarios: Those that were run, for their titles.
    """
    summary = summary_of(results)
    parts = ["# What `make bench` measured", _about(results), "![ratios](ratios.svg)", _targets_table(summary)]
    parts += [text for scenario in scenarios if (text := _scenario_table(summary, scenario))]
    parts += [text for text in (_start_table(summary), _graph_table(summary)) if text]
    parts.append("## How\n\n" + _METHOD.format(rounds=_counted(results["rounds"], "round")))
    return "\n\n".join(parts) + "\n"


def summary_of(results: Mapping[str, Any]) -> Summary:
    """Return the numbers of a run as in latest.json."""
    machine = results["machine"]
    return Summary(results["samples"], results["start_seconds"], results["graph_seconds"], machine["cores"])


def _about(results: Mapping[str, Any]) -> str:
    machine, versions = results["machine"], results["versions"]
    load = ", ".join(f"{value:.2f}" for value in machine["load_average_at_start"])
    lines = [
        f"{results['measured_at']}; {machine['cpu']}, {_counted(machine['cores'], 'core')}, Linux {machine['kernel']} "
        f"({machine['architecture']}); load average at the start: {load}.",
        ", ".join(f"{name} {version}" for name, version in versions.items()) + ".",
    ]
    if results["quick"]:
        lines.append(
            "**A quick run, of short loads and at most 100 streams: it shows that everything works, and no more.**"
        )
    if machine["load_average_at_start"][0] > machine["cores"] * _BUSY:
        lines.append("**The machine was busy with something else: run it again on an idle one.**")
    if not is_sound(summary_of(results)):
        lines.append("**Requests failed without a gateway, too: the tools got no time, and nothing here counts.**")
    if machine["cores"] < 2:
        lines.append("**One core for everything: the gateway and the tools took it from each other.**")
    return "\n".join(lines)


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    lines = [header, ["---", *["--:"] * (len(header) - 1)], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _targets_table(summary: Summary) -> str:
    limit = limit_of(summary)
    note = "" if limit == NGINX else f"\n\nnginx did not take part: {limit} stands for the limit."
    rows = [_target_row(target) for target in all_targets(summary)]
    return "## Targets\n\n" + table(["", "measured", "target", ""], rows) + note


def _target_row(target: Target) -> list[str]:
    verdict = {True: "met", False: "**missed**", None: "not measured"}[target.met]
    versus = f" {target.versus}" if target.versus else ""
    sign = "≥" if target.at_least else "≤"
    return [
        target.name,
        _with_unit(target.value, target.unit) + versus * (target.value is not None),
        f"{sign} {_with_unit(target.bound, target.unit)}{versus}",
        verdict,
    ]


def _with_unit(value: float | None, unit: str) -> str:
    if value is None:
        return _NOT_MEASURED
    return f"{number(value)}{'' if unit in {'x', '%', ''} else ' '}{unit}"


def number(value: float | None) -> str:
    """Return a number with three digits that mean something."""
    if value is None:
        return _NOT_MEASURED
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def _scenario_table(summary: Summary, scenario: Scenario) -> str:
    labels = summary.labels(scenario.name)
    if not labels:
        return ""
    columns = _columns(scenario)
    rows = [[label, *[cell(summary, scenario.name, label) for cell in columns.values()]] for label in labels]
    return f"## {scenario.title[0].upper()}{scenario.title[1:]}\n\n{table(['', *columns], rows)}"


#: Makes one cell of a table, given scenario and label.
_Cell = Callable[[Summary, str, str], str]


def _columns(scenario: Scenario) -> dict[str, _Cell]:
    cores = {"gateway's core": _percent(measured.gateway_busy), "tools' core": _percent(measured.tools_busy)}
    if scenario.load.stream is None:
        return {
            "requests/s": _plain(measured.rps),
            "p50 ms": _plain(measured.p50_ms),
            "CPU µs a request": _plain(measured.cpu_us_per_request),
            "failed": _plain(measured.failed),
            **cores,
        }
    if scenario.load.requests == 0:
        return {
            "tokens/s": _plain(measured.tokens_per_second),
            "CPU s per 1M tokens": _plain(measured.cpu_per_million_tokens),
            "failed": _plain(measured.failed),
            **cores,
        }
    return {
        "completed": _completed,
        "TTFT p50 ms": _plain(measured.ttft_p50_ms),
        "TTFT p99 ms": _plain(measured.ttft_p99_ms),
        "gap p99 ms": _plain(measured.gap_p99_ms),
        "CPU s per 1M tokens": _plain(measured.cpu_per_million_tokens),
        "peak MB": _plain(measured.peak_rss_mb),
        **cores,
    }


def _plain(metric: Metric) -> _Cell:
    return lambda summary, scenario, label: number(summary.median(scenario, label, metric))


def _percent(metric: Metric) -> _Cell:
    def cell(summary: Summary, scenario: str, label: str) -> str:
        share = summary.median(scenario, label, metric)
        return _NOT_MEASURED if share is None else f"{share:.0%}"

    return cell


def _completed(summary: Summary, scenario: str, label: str) -> str:
    """Say the worst round: a median would hide a failed one."""
    chosen: Iterator[Sample] = (s for s in summary.samples if (s["scenario"], s["label"]) == (scenario, label))
    load = min((s["load"] for s in chosen), key=lambda load: load["succeeded"])
    text = f"{load['succeeded']} of {load['requests']}"
    return text if not load["errors"] else f"{text} in {load['seconds']:.0f} s"


def _start_table(summary: Summary) -> str:
    if not summary.start:
        return ""
    rows = [[name, number(summary.start_median(name))] for name in summary.start]
    note = f"`{IMPORT_COMPS}` is a bare Python that does nothing else."
    return f"## Start, until the first healthy answer\n\n{table(['', 'seconds'], rows)}\n\n{note}"


def _graph_table(summary: Summary) -> str:
    if not summary.graphs:
        return ""
    rows = [
        [f"{size} {title}", number((summary.graph_median(kind, size) or 0) * 1000)]
        for kind, title, sizes in (("chain", "in a row", CHAINS), ("fan", "side by side", FANS))
        for size in sizes
    ]
    return f"## Nodes that answer at once, in process\n\n{table(['nodes', 'CPU ms a request'], rows)}"
