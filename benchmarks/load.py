"""Describes a load and has the generator make it."""

from __future__ import annotations

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.servers import on_cores

#: What the upstream's chat completion says; a JSON answer without it is an error.
EXPECTED_TEXT = "Ciao! Come stai?"
#: What a graded answer holds besides.
EXPECTED_GRADE = '"score":0.9'
_QUESTION = "Hello, how are you?"
#: The generator ends by itself; this is for the case that it does not.
_SPARE_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class StreamScript:
    """What the upstream does for one stream; see tools/upstream.c."""

    tokens: int
    interval_ms: float = 0.0
    first_token_ms: float = 0.0
    holds_headers: bool = False
    tokens_per_write: int = 1
    stalls: bool = False

    def text(self) -> str:
        """Return the script as the upstream reads it in the user's message."""
        return (
            f"bench:n={self.tokens},t={self.interval_ms * 1000:.0f},f={self.first_token_ms * 1000:.0f},"
            f"h={self.holds_headers:d},b={self.tokens_per_write},s={self.stalls:d}"
        )


@dataclass(frozen=True, slots=True)
class Load:
    """What the generator is asked for: a duration, or a number of requests in a bounded time.

    Attributes:
        connections: Opened at once.
        stream: What each stream is; None asks for JSON.
        duration_seconds: Requests one after the other on each connection, for so long.
        warmup_seconds: Before that, not counted.
        requests: Instead of a duration; as many as connections make a storm.
        timeout_seconds: What is not there by then has failed; only with `requests`.
        stalled: Further streams that stall for ever and are not counted.
        ramp_seconds: The connections are opened evenly over so long; 0 opens all in one instant.
    """

    connections: int
    stream: StreamScript | None = None
    duration_seconds: float = 0.0
    warmup_seconds: float = 0.0
    requests: int = 0
    timeout_seconds: float = 30.0
    stalled: int = 0
    ramp_seconds: float = 0.0


def run_load(
    program: Path, url: str, load: Load, *, folder: Path, cores: frozenset[int], graded: bool
) -> dict[str, Any]:
    """Run the generator and return what it measured.

    Args:
        program: The compiled generator.
        url: Where the requests go.
        load: What to do.
        folder: For the requests' bodies.
        cores: Where it runs.
        graded: The answer must hold a grade.
    """
    command = [str(program), *load_arguments(url, load, folder, graded=graded)]
    limit = load.duration_seconds + load.warmup_seconds + load.timeout_seconds + _SPARE_SECONDS
    with on_cores(cores):
        result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=limit)
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def load_arguments(url: str, load: Load, folder: Path, *, graded: bool) -> list[str]:
    """Return the generator's arguments, its bodies written into the folder."""
    script = load.stream
    arguments = ["--url", url, "--mode", "stream" if script else "json", "--connections", str(load.connections)]
    arguments += ["--body-file", str(_write_body(folder / "body.json", script))]
    if script is not None:
        arguments += ["--tokens", str(script.tokens)]
    if graded or script is None:
        arguments += ["--expect", EXPECTED_GRADE if graded else EXPECTED_TEXT]
    if load.requests:
        arguments += ["--requests", str(load.requests), "--timeout", f"{load.timeout_seconds:g}"]
    else:
        arguments += ["--duration", f"{load.duration_seconds:g}", "--warmup", f"{load.warmup_seconds:g}"]
    if load.ramp_seconds:
        arguments += ["--ramp", f"{load.ramp_seconds:g}"]
    if load.stalled:
        body = _write_body(folder / "stalled.json", StreamScript(tokens=1, stalls=True))
        arguments += ["--stalled", str(load.stalled), "--stalled-body-file", str(body)]
    return arguments


def _write_body(path: Path, script: StreamScript | None) -> Path:
    question = _QUESTION if script is None else f"{_QUESTION} {script.text()}"
    body = {"model": "bench", "messages": [{"role": "user", "content": question}], "stream": script is not None}
    path.write_text(json.dumps(body))
    return path
