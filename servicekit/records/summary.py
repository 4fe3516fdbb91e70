"""Reads run records and says what they come to: requests, latencies, tokens, scores and errors for each model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from math import ceil
from pathlib import Path
from typing import Any

import orjson

from servicekit.records.run_folder import INTERACTIONS, MANIFEST


@dataclass(slots=True)
class ModelSummary:
    """What is recorded of one model at one provider.

    Attributes:
        model: As answers name it; what was asked for where there was no answer.
        provider: None if it is not known.
        latencies_ms: Of the requests that succeeded.
        first_tokens_ms: Of the streams among them.
        tokens: All of them, prompts and answers.
        scores: The grades there are.
        errors: How often each error code ended a request.
        cancelled: How many clients left.
    """

    model: str
    provider: str | None
    requests: int = 0
    latencies_ms: list[float] = field(default_factory=list)
    first_tokens_ms: list[float] = field(default_factory=list)
    tokens: int = 0
    scores: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    cancelled: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Count one line of the records."""
        self.requests += 1
        self.tokens += (record.get("usage") or {}).get("total_tokens") or 0
        status = record.get("status")
        if status == "failed":
            self.errors[(record.get("error") or {}).get("code") or "unknown"] += 1
        elif status == "cancelled":
            self.cancelled += 1
        else:
            self.latencies_ms.append(record.get("latency_ms") or 0.0)
            if record.get("ttft_ms") is not None:
                self.first_tokens_ms.append(record["ttft_ms"])
        score = grade.get("score") if isinstance(grade := record.get("grade"), dict) else None
        if isinstance(score, int | float):
            self.scores.append(score)

    def as_dict(self) -> dict[str, Any]:
        """Return the figures, None where nothing was recorded that they are made of."""
        return {
            "model": self.model,
            "provider": self.provider,
            "requests": self.requests,
            "latency_p50_ms": percentile(self.latencies_ms, 50),
            "latency_p95_ms": percentile(self.latencies_ms, 95),
            "ttft_p50_ms": percentile(self.first_tokens_ms, 50),
            "tokens": self.tokens,
            "mean_score": round(sum(self.scores) / len(self.scores), 3) if self.scores else None,
            "errors": dict(self.errors.most_common()),
            "cancelled": self.cancelled,
        }


def run_folders(runs: Path) -> list[Path]:
    """Return the folders of the runs, the newest first."""
    found = [path for path in runs.iterdir() if (path / MANIFEST).is_file()] if runs.is_dir() else []
    return sorted(found, key=lambda path: path.name, reverse=True)


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of a run; empty if it cannot be read."""
    try:
        manifest = orjson.loads((folder / MANIFEST).read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def read_records(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of a run; a line that a dying process left unfinished is passed over."""
    path = Path(INTERACTIONS)
    for file in sorted(folder.glob(f"{path.stem}*{path.suffix}")):
        with file.open("rb") as lines:
            for line in lines:
                try:
                    record = orjson.loads(line)
                except orjson.JSONDecodeError:
                    continue
                if isinstance(record, dict):
                    yield record


def summarize(records: Iterable[Mapping[str, Any]]) -> list[ModelSummary]:
    """Return a summary for each model and provider, the most asked first."""
    found: dict[tuple[str, str | None], ModelSummary] = {}
    for record in records:
        model, provider = record.get("model") or "(default)", record.get("provider")
        found.setdefault((model, provider), ModelSummary(model, provider)).add(record)
    return sorted(found.values(), key=lambda summary: -summary.requests)


def percentile(values: list[float], percent: float) -> float | None:
    """Return the nearest-rank percentile; None of nothing."""
    if not values:
        return None
    return sorted(values)[max(0, ceil(len(values) * percent / 100) - 1)]
