"""Reads the folder of pipeline files, each file on its own: one with mistakes does not hide the others.

It reads files and parses them, so it belongs into a thread where an event loop runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megaservice.pipeline.loader import load_pipelines, parse_pipeline
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.problems import PipelineError, Problem
from servicekit.environment import env_file

#: What tells that a file was saved: its inode, its size, and when in nanoseconds.
Stamp = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class PipelineFile:
    """One file: its pipeline, or what is wrong with it."""

    path: Path
    pipeline: Pipeline | None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class FolderReading:
    """What the folder held.

    Attributes:
        folder: Where it is.
        files: In the order of their names.
        shared: Names and endpoints that files have in common, each at its place.
        stamps: Taken before the files were read, so that an edit during the reading is seen by the next look.
    """

    folder: Path
    files: tuple[PipelineFile, ...]
    shared: tuple[Problem, ...]
    stamps: Mapping[str, Stamp]

    @property
    def problems(self) -> list[Problem]:
        """The problems of all files."""
        return [problem for file in self.files for problem in file.problems]


def pipeline_paths(folder: Path) -> list[Path]:
    """Return the pipeline files of a folder, in the order of their names."""
    return sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])


def folder_stamps(folder: Path) -> dict[str, Stamp]:
    """Look at the folder, and at `.env`, whose variables the files use, without reading."""
    stamps: dict[str, Stamp] = {}
    for path in (*pipeline_paths(folder), env_file()):
        try:
            stat = path.stat()
        except OSError:
            continue  # removed meanwhile, or not there; the next look sees what became of it
        stamps[str(path)] = (stat.st_ino, stat.st_size, stat.st_mtime_ns)
    return stamps


def read_folder(folder: Path, variables: Callable[[], Mapping[str, str]]) -> FolderReading:
    """Read and check every file of the folder.

    Args:
        folder: Where the files are.
        variables: Returns what fills `${VAR:-default}`; asked once.
    """
    stamps = folder_stamps(folder)
    known = variables()
    files = tuple(read_file(path, known) for path in pipeline_paths(folder))
    return FolderReading(folder, files, _shared(folder, files, known), stamps)


def read_file(path: Path, variables: Mapping[str, str]) -> PipelineFile:
    """Read and check one file."""
    try:
        return PipelineFile(path, parse_pipeline(path.read_text("utf-8"), str(path), variables))
    except PipelineError as exc:
        return PipelineFile(path, None, exc.located)
    except (OSError, UnicodeDecodeError) as exc:
        return PipelineFile(path, None, (Problem(str(path), 1, 1, f"cannot be read: {exc}."),))


def _shared(folder: Path, files: Sequence[PipelineFile], variables: Mapping[str, str]) -> tuple[Problem, ...]:
    """Return what is wrong with the folder as a whole: only the loader knows the places of what files share."""
    specs = [file.pipeline.spec for file in files if file.pipeline]
    claims = [*(spec.name for spec in specs), *(path for spec in specs for path in spec.endpoints)]
    if len(specs) == len(files) and len(set(claims)) == len(claims):
        return ()
    try:
        load_pipelines(folder, variables)
    except PipelineError as exc:
        own = {problem for file in files for problem in file.problems}
        return tuple(problem for problem in exc.located if problem not in own)
    return ()  # edited meanwhile
