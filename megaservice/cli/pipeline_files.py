"""Reads the pipeline files that commands are given: files, folders, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megaservice.pipeline.loader import Reading, load_pipelines
from megaservice.pipeline.loader import read_pipeline as read_text
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.problems import PipelineError, Problem
from megaservice.pipeline_files import pipeline_paths
from servicekit.nearest import nearest

#: Stands for standard input, and is what problems in it are named after.
STDIN = "-"
_STDIN_NAME = "stdin"


@dataclass(frozen=True, slots=True)
class Validation:
    """What `validate` found.

    Attributes:
        pipelines: The files without problems, and what they hold.
        problems: All of all files, each once.
        notes: What is right, and not what a reader may expect.
    """

    pipelines: tuple[tuple[str, Pipeline], ...]
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...] = ()


def read_pipeline(file: str, variables: Mapping[str, str]) -> Pipeline:
    """Read one pipeline; `-` is standard input.

    Raises:
        PipelineError: With every problem.
    """
    reading = _read(file, variables)
    if reading.pipeline is None:
        raise PipelineError(reading.problems)
    return reading.pipeline


def _read(file: str, variables: Mapping[str, str]) -> Reading:
    if file == STDIN:
        return read_text(sys.stdin.read(), _STDIN_NAME, variables)
    path = Path(file)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as exc:
        raise PipelineError([Problem(file, 1, 1, f"there is no such file.{_nearest_file(path)}")]) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise PipelineError([Problem(file, 1, 1, f"cannot be read: {exc}.")]) from exc
    return read_text(text, file, variables)


def validate_places(places: Sequence[str], variables: Mapping[str, str]) -> Validation:
    """Check files, and folders as the gateway does: what their files share included."""
    pipelines: list[tuple[str, Pipeline]] = []
    problems: dict[Problem, None] = {}
    notes: dict[Problem, None] = {}
    for place in places:
        is_folder = place != STDIN and Path(place).is_dir()
        files = [str(path) for path in pipeline_paths(Path(place))] if is_folder else [place]
        if is_folder:
            problems.update(dict.fromkeys(_problems_of_folder(Path(place), variables)))
        for file in files:
            try:
                reading = _read(file, variables)
            except PipelineError as exc:
                problems.update(dict.fromkeys(exc.located))
                continue
            problems.update(dict.fromkeys(reading.problems))
            notes.update(dict.fromkeys(reading.notes))
            if reading.pipeline is not None:
                pipelines.append((file, reading.pipeline))
    bad = {problem.file for problem in problems}
    right = tuple(pair for pair in pipelines if pair[0] not in bad)
    return Validation(right, tuple(sorted(problems)), tuple(sorted(notes)))


def _problems_of_folder(folder: Path, variables: Mapping[str, str]) -> Sequence[Problem]:
    try:
        load_pipelines(folder, variables)
    except PipelineError as exc:
        return exc.located
    return ()


def _nearest_file(path: Path) -> str:
    try:
        return nearest(path.name, [other.name for other in path.parent.iterdir()])
    except OSError:
        return ""
