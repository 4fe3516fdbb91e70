"""`python -m benchmarks.assistants`: durable runs over an LLM that answers at once, on SQLite and PostgreSQL.

Writes assistants.json and assistants.md into the results folder. Takes about a minute; needs Linux.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import uvloop

from benchmarks.assistants.client import clients
from benchmarks.assistants.report import render
from benchmarks.assistants.scenarios import growth, run_latency, run_rate
from benchmarks.assistants.scripted_llm import scripted_llm
from benchmarks.assistants.service import assistants_service, postgresql
from benchmarks.cores import available_cores
from benchmarks.machine import describe_machine
from benchmarks.servers import ServerError, find_free_port

_RESULTS = Path(__file__).parents[1] / "results"
_RUNS_AT_ONCE = 16


class _Amount(NamedTuple):
    """How much is measured."""

    runs: int
    rate_seconds: float
    sizes: list[int]


_WHOLE = _Amount(200, 8.0, [10, 100, 1000])
_QUICK = _Amount(20, 1.0, [5, 10])


class _Case(NamedTuple):
    """A database and how many processes share it."""

    database: str
    workers: int


def main() -> int:
    """Measure, write the results, print the table; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.assistants", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a few seconds: does everything work?")
    parser.add_argument("--output", type=Path, default=_RESULTS, help="the folder for the results")
    arguments = parser.parse_args()
    try:
        results = _measure(_QUICK if arguments.quick else _WHOLE)
    except ServerError as exc:
        print(f"error: {exc}", file=sys.stderr)
        return 1
    results["quick"] = arguments.quick
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "assistants.json").write_text(json.dumps(results, indent=1) + "\n")
    report = render(results)
    (arguments.output / "assistants.md").write_text(report)
    print(report)
    return 0


def _measure(amount: _Amount) -> dict[str, Any]:
    results: dict[str, Any] = {
        "measured_at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": describe_machine(available_cores()),
        "cases": [],
    }
    with tempfile.TemporaryDirectory() as name, postgresql(Path(name)) as postgresql_url:
        for number, case in enumerate(_cases(postgresql_url)):
            print(f"{case.database}, {case.workers} process(es)", file=sys.stderr, flush=True)
            folder = Path(name) / str(number)
            folder.mkdir()
            url = postgresql_url if case.database == "PostgreSQL" else None
            results["cases"].append({**case._asdict(), **_measure_case(case, folder, url, amount)})
    return results


def _cases(postgresql_url: str | None) -> Iterator[_Case]:
    yield _Case("SQLite", 1)
    yield _Case("SQLite", 2)
    if postgresql_url is None:
        print("There is no PostgreSQL: set BENCH_DATABASE_URL, or run `make venv-dev`.", file=sys.stderr)
        return
    yield _Case("PostgreSQL", 1)
    yield _Case("PostgreSQL", 2)


def _measure_case(case: _Case, folder: Path, database_url: str | None, amount: _Amount) -> dict[str, Any]:
    llm_port = find_free_port()
    llm_url = f"http://127.0.0.1:{llm_port}/v1"
    with assistants_service(folder, llm_url, case.workers, database_url, available_cores()) as servers:
        measured = uvloop.run(_measure_service(case, llm_port, [server.port for server in servers], amount))
        return {**measured, "peak_rss_mb": sum(server.peak_rss_bytes() for server in servers) / 1e6}


async def _measure_service(case: _Case, llm_port: int, ports: list[int], amount: _Amount) -> dict[str, Any]:
    async with scripted_llm(llm_port) as llm, clients(ports) as workers:
        measured: dict[str, Any] = await run_latency(workers[0], llm, amount.runs)
        measured |= await run_rate(workers, _RUNS_AT_ONCE, amount.rate_seconds)
        if case.workers == 1:
            measured["growth"] = await growth(workers[0], amount.sizes)
        return measured


if __name__ == "__main__":
    sys.exit(main())
