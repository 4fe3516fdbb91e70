"""`python -m benchmarks`: stock OPEA, our gateway and the limits, measured in one interleaved run.

Writes latest.json, README.md and ratios.svg into the results folder. Needs Linux and a C compiler; nginx takes part
where it is installed.
"""

from __future__ import annotations

import argparse
import json
import resource
import signal
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import Any

from benchmarks.contenders import NGINX, RAW, available_contenders
from benchmarks.cores import available_cores
from benchmarks.machine import describe_machine, describe_versions
from benchmarks.plot import ratio_panels, render_svg
from benchmarks.report import render_report, summary_of
from benchmarks.runner import Bench
from benchmarks.scenarios import Scenario, all_scenarios, quick
from benchmarks.servers import ServerError
from benchmarks.tools.build import ToolsUnavailableError, build_tools

_RESULTS = Path(__file__).parent / "results"
_OPEN_FILES = 65_536
_ENOUGH_FILES = 4_096
#: Measured besides the scenarios.
_START, _GRAPH = "start", "graph"


def main() -> int:
    """Measure, write the results, print the table; return the exit code."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        results, scenarios = _measure(arguments)
    except (ToolsUnavailableError, ServerError) as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Interrupted; every server was stopped, nothing was written.", file=sys.stderr)
        return 130
    print(_write(arguments.output, results, scenarios))
    return 0


def _names() -> list[str]:
    return [*[scenario.name for scenario in all_scenarios()], _START, _GRAPH]


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", help=f"scenarios, separated by commas, of: {', '.join(_names())}")
    parser.add_argument("--contenders", help="contenders, separated by commas; all that can run here if absent")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is measured (3)")
    parser.add_argument("--quick", action="store_true", help="one short round: does everything work?")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="the folder for the results")
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds = 1
    arguments.only = _chosen(parser, arguments.only, _names())
    return arguments


def _chosen(parser: argparse.ArgumentParser, text: str | None, names: list[str]) -> list[str]:
    chosen = [name.strip() for name in text.split(",")] if text else names
    if unknown := [name for name in chosen if name not in names]:
        parser.error(f"not known: {', '.join(unknown)}; there are {', '.join(names)}")
    return chosen


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _measure(arguments: argparse.Namespace) -> tuple[dict[str, Any], list[Scenario]]:
    tools = build_tools()  # first: it says what this machine lacks
    _raise_file_limit()
    available = available_cores()
    results: dict[str, Any] = {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "quick": arguments.quick,
        "rounds": arguments.rounds,
        "machine": describe_machine(available),
        "versions": describe_versions(),
        "samples": [],
        "start_seconds": {},
        "graph_seconds": [],
    }
    contenders = available_contenders()
    if NGINX not in contenders:
        _say(f"nginx is not installed: {RAW} stands for the limit.")
    if arguments.contenders:
        wanted = [name.strip() for name in arguments.contenders.split(",")]
        contenders = {name: contender for name, contender in contenders.items() if name in wanted}
    chosen = [scenario for scenario in all_scenarios() if scenario.name in arguments.only]
    possible = [scenario for scenario in chosen if scenario.needs is None or scenario.needs in contenders]
    scenarios = [quick(scenario) for scenario in possible] if arguments.quick else possible
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(tools, contenders, Path(folder), available, _say)
        for scenario in scenarios:
            _say(scenario.title)
            results["samples"] += bench.run(scenario, arguments.rounds)
        if _START in arguments.only:
            _say("start, beside a bare import comps")
            results["start_seconds"] = bench.start_times(arguments.rounds)
        if _GRAPH in arguments.only:
            _say("chains and fan-outs in process")
            results["graph_seconds"] = bench.graph_times(arguments.rounds)
    return results, scenarios


def _raise_file_limit() -> None:
    """Let the contenders hold 1,000 streams: two descriptors each, and the usual soft limit is 1,024."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, _OPEN_FILES)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < _ENOUGH_FILES:
        _say(f"warning: {most} open files are allowed here (ulimit -Hn), too few for 1000 streams.")


def _write(folder: Path, results: dict[str, Any], scenarios: list[Scenario]) -> str:
    """Write the three files and return the report."""
    report = render_report(results, scenarios)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "latest.json").write_text(json.dumps(results, indent=1) + "\n")
    (folder / "README.md").write_text(report)
    (folder / "ratios.svg").write_text(render_svg(ratio_panels(summary_of(results))))
    return report


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
