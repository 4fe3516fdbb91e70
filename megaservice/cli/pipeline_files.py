"""Reads the pipeline files that commands are given: files, folders, or standard input."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megaservice.pipeline.loader import load_pipelines, parse_pipeline
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
    """

    pipelines: tuple[tuple[str, Pipeline], ...]
    problems: tuple[Problem, ...]


def read_pipeline(file: str, variables: Mapping[str, str]) -> Pipeline:
    """Read one pipeline; `-` is standard input.

    Raises:
        PipelineError: With every problem.
    """
    if file == STDIN:
        return parse_pipeline(sys.stdin.read(), _STDIN_NAME, variables)
    path = Path(file)
    try:
        text = path.read_text("utf-8")
    except FileNotFoundError as exc:
        raise PipelineError([Problem(file, 1, 1, f"there is no such file.{_nearest_file(path)}")]) from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise PipelineError([Problem(file, 1, 1, f"cannot be read: {exc}.")]) from exc
    return parse_pipeline(text, file, variables)


def validate_places(places: Sequence[str], variables: Mapping[str, str]) -> Validation:
    """Check files, and folders as the gateway does: what their files share included."""
    pipelines: list[tuple[str, Pipeline]] = []
    problems: dict[Problem, None] = {}
    for place in places:
        is_folder = place != STDIN and Path(place).is_dir()
        files = [str(path) for path in pipeline_paths(Path(place))] if is_folder else [place]
        if is_folder:
            problems.update(dict.fromkeys(_problems_of_folder(Path(place), variables)))
        for file in files:
            try:
                pipelines.append((file, read_pipeline(file, variables)))
            except PipelineError as exc:
                problems.update(dict.fromkeys(exc.located))
    bad = {problem.file for problem in problems}
    return Validation(tuple(pair for pair in pipelines if pair[0] not in bad), tuple(sorted(problems)))


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
