"""Writes measurements as a Markdown table, every figure with its ratio to the first route."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.measure import Measurement, percentile

_COLUMNS = ("route", "JSON p50", "JSON p99", "TTFT p50", "TTFT p99", "failed")


def render_table(results: Sequence[Measurement]) -> str:
    """Return the table; the first row is what the others are compared to."""
    rows = [_COLUMNS, tuple("---" for _ in _COLUMNS)]
    rows += [_row(result, results[0]) for result in results]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_COLUMNS))]
    return "\n".join("| " + " | ".join(map(str.ljust, row, widths)) + " |" for row in rows)


def _row(result: Measurement, base: Measurement) -> tuple[str, ...]:
    cells = [
        _cell(percentile(values, rank), percentile(base_values, rank))
        for values, base_values in (
            (result.json_seconds, base.json_seconds),
            (result.first_token_seconds, base.first_token_seconds),
        )
        for rank in (50, 99)
    ]
    return (result.route.name, *cells, str(result.failures))


def _cell(seconds: float, base_seconds: float) -> str:
    return f"{seconds * 1000:.2f} ms ({seconds / base_seconds:.2f}x)"
