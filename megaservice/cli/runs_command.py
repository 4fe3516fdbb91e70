"""`runs`: what the gateway recorded of its requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from megaservice.cli.nearest import did_you_mean

if TYPE_CHECKING:
    from pathlib import Path

_RUN_HEADINGS = ("RUN", "STARTED", "COMMIT", "REQUESTS", "FAILED")
_MODEL_HEADINGS = (
    "MODEL",
    "PROVIDER",
    "REQUESTS",
    "P50 MS",
    "P95 MS",
    "TTFT P50",
    "TOKENS",
    "SCORE",
    "CANCELLED",
    "ERRORS",
)


@click.command()
@click.argument("run", required=False)
@click.option("-n", "--number", type=click.IntRange(min=1), default=10, show_default=True, help="The newest runs.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, for scripts.")
def runs(run: str | None, number: int, as_json: bool) -> int:
    """List the gateway's runs, and latency, tokens, scores and errors for each model.

    RUN is the id of one run, or `latest`; without it, the newest runs are taken together. A run is the life of one
    gateway process; its records are in RUNS_DIR. CANCELLED counts requests whose client left before the answer's end.
    """
    from servicekit.records.summary import read_records, summarize

    folder = _runs_dir()
    folders = _chosen(folder, run, number)
    if not folders and not as_json:
        click.echo(f"There are no records in {folder} yet; the first request to the gateway makes some.")
        return 0
    listed, records = [], []
    for path in folders:
        found = list(read_records(path))
        listed.append(_described(path, found))
        records += found
    models = [summary.as_dict() for summary in summarize(records)]
    if as_json:
        click.echo(json.dumps({"runs": listed, "models": models}, indent=2, ensure_ascii=False))
        return 0
    click.echo(_table(_RUN_HEADINGS, [_run_cells(row) for row in listed]))
    click.echo()
    click.echo(_table(_MODEL_HEADINGS, [_model_cells(row) for row in models]))
    return 0


def _runs_dir() -> Path:
    from megaservice.settings import GatewaySettings
    from servicekit.environment import PROJECT_ROOT
    from servicekit.errors import ConfigurationError
    from servicekit.settings import load_settings

    runs_dir = load_settings(GatewaySettings).runs_dir
    if runs_dir is None:
        raise ConfigurationError("RUNS_DIR is empty, so nothing is recorded; unset it, or name a folder.")
    return PROJECT_ROOT / runs_dir


def _chosen(folder: Path, run: str | None, number: int) -> list[Path]:
    from servicekit.records.summary import run_folders

    folders = run_folders(folder)
    if run is None:
        return folders[:number]
    if run == "latest":
        return folders[:1]
    chosen = [path for path in folders if path.name == run]
    if not chosen:
        known = did_you_mean(run, [path.name for path in folders]) if folders else f"{folder} holds none."
        raise click.UsageError(f"There is no run {run!r}. {known}")
    return chosen


def _described(path: Path, records: Sequence[dict[str, Any]]) -> dict[str, Any]:
    from servicekit.records.summary import read_manifest

    manifest = read_manifest(path)
    return {
        "run_id": path.name,
        "started_at": manifest.get("started_at"),
        "git_sha": manifest.get("git_sha"),
        "requests": len(records),
        "failed": sum(record.get("status") == "failed" for record in records),
    }


def _run_cells(row: dict[str, Any]) -> tuple[str, ...]:
    commit = (row["git_sha"] or "-")[:10]
    return row["run_id"], row["started_at"] or "-", commit, str(row["requests"]), str(row["failed"])


def _model_cells(row: dict[str, Any]) -> tuple[str, ...]:
    errors = ", ".join(f"{code} {count}" for code, count in row["errors"].items())
    return (
        row["model"],
        row["provider"] or "-",
        str(row["requests"]),
        _number(row["latency_p50_ms"], 1),
        _number(row["latency_p95_ms"], 1),
        _number(row["ttft_p50_ms"], 1),
        str(row["tokens"]),
        _number(row["mean_score"], 2),
        str(row["cancelled"]),
        errors or "-",
    )


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a table, columns as wide as they need to be."""
    cells = [headings, *rows]
    widths = [max(len(row[column]) for row in cells) for column in range(len(headings))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in cells)
    return "\n".join(line.rstrip() for line in lines)
