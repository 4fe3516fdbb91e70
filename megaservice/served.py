"""The pipelines that the gateway serves, each with its file and its problems; replaced while it runs.

A file's pipeline is replaced only by one that passed every check. What did not change keeps its gateway, and with it
the state of its nodes: limits, resting endpoints. A request that has begun ends on the gateway with which it began.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from megaservice.gateway import Gateway
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.problems import PipelineError, Problem
from megaservice.pipeline_files import FolderReading, PipelineFile, Stamp
from megaservice.routing import RoutingTable

logger = logging.getLogger(__name__)


class PipelineState(StrEnum):
    """What became of a pipeline file."""

    #: It runs as it is.
    RUNNING = "running"
    #: It has problems; what it held before them runs on.
    OUTDATED = "outdated"
    #: It has problems, and nothing of it runs.
    BROKEN = "broken"


@dataclass(frozen=True, slots=True)
class ServedPipeline:
    """One file of the folder and what runs of it.

    Attributes:
        path: The file.
        gateway: Runs its newest version without problems; None if there never was one.
        loaded_at: When that version was taken over, UNIX seconds.
        problems: Of the file as it is now.
    """

    path: Path
    gateway: Gateway | None
    loaded_at: int
    problems: tuple[Problem, ...] = ()

    @property
    def name(self) -> str:
        """The pipeline's name; the file's where none could be read."""
        return self.gateway.name if self.gateway else self.path.stem

    @property
    def state(self) -> PipelineState:
        """What became of the file."""
        if not self.problems:
            return PipelineState.RUNNING
        return PipelineState.BROKEN if self.gateway is None else PipelineState.OUTDATED


class ServedPipelines:
    """Holds the routing table, and makes the next one from what the folder holds.

    Args:
        make_gateway: Makes the gateway of a checked pipeline.
        models: The names in models.json, for messages.
    """

    def __init__(self, make_gateway: Callable[[Pipeline], Gateway], models: Sequence[str] = ()) -> None:
        self._make_gateway = make_gateway
        self._models = models
        self._draining: list[Gateway] = []
        self.pipelines: tuple[ServedPipeline, ...] = ()
        self.table = RoutingTable((), models)
        #: The stamps of the files that were read last.
        self.stamps: Mapping[str, Stamp] = {}
        #: How often the table was replaced.
        self.version = 0

    def start(self, reading: FolderReading) -> None:
        """Take the files with which the process starts; none may have a problem.

        Raises:
            PipelineError: A file has one, or two clash, or there is none.
        """
        problems = [*_without_files(reading), *reading.problems, *reading.shared]
        if problems:
            raise PipelineError(problems)
        self._replace(reading)

    def take(self, reading: FolderReading) -> None:
        """Replace what changed; what has problems is left as it runs, and the log says why.

        Where the folder is empty everything is left as it is: a gateway without a pipeline is of no use.
        """
        self.stamps = reading.stamps
        if empty := _without_files(reading):
            logger.error("%s The pipelines that run go on.", empty[0])
            return
        self._replace(reading)

    def draining(self, name: str) -> int:
        """Return how many requests still run on replaced versions of a pipeline."""
        self._draining = [gateway for gateway in self._draining if gateway.running]
        return sum(gateway.running for gateway in self._draining if gateway.name == name)

    def _replace(self, reading: FolderReading) -> None:
        before = {served.path: served for served in self.pipelines}
        running = {path: served.gateway for path, served in before.items() if served.gateway}
        files = _clashes(reading.files, running, reading.shared)
        self.pipelines = tuple(self._served(file, before.get(file.path)) for file in files)
        self.stamps = reading.stamps
        gateways = [served.gateway for served in self.pipelines if served.gateway]
        retired = [gateway for gateway in self.table.gateways if gateway not in gateways]
        self._draining.extend(gateway for gateway in retired if gateway.running)
        self.version += 1
        self.table = RoutingTable(gateways, self._models)
        _log_changes(before, self.pipelines)

    def _served(self, file: PipelineFile, before: ServedPipeline | None) -> ServedPipeline:
        if file.pipeline is None:
            old = before or ServedPipeline(file.path, None, 0)
            return replace(old, problems=file.problems)
        for gateway in self.table.gateways:  # of this file, or of one that was renamed
            if gateway.pipeline.spec == file.pipeline.spec:
                kept = before is not None and before.gateway is gateway
                return ServedPipeline(file.path, gateway, before.loaded_at if before and kept else int(time.time()))
        return ServedPipeline(file.path, self._make_gateway(file.pipeline), int(time.time()))


def _without_files(reading: FolderReading) -> list[Problem]:
    if reading.files:
        return []
    return [Problem(str(reading.folder), 1, 1, "there is no pipeline file (*.yaml, *.yml) in this folder.")]


def _clashes(
    files: Sequence[PipelineFile], running: Mapping[Path, Gateway], located: Sequence[Problem]
) -> list[PipelineFile]:
    """Return the files; one that wants a name or an endpoint of another has a problem instead of its pipeline.

    What runs already comes first: an edited file cannot take something away from another.

    Args:
        files: As read.
        running: The gateway of each file that has one.
        located: The clashes that the loader found, with their places.
    """
    checked = {file.path: file for file in files}
    while (clash := _first_clash(checked, running)) is not None:
        path, message = clash
        known = tuple(problem for problem in located if problem.file == str(path))
        checked[path] = PipelineFile(path, None, known or (Problem(str(path), 1, 1, message),))
    return list(checked.values())


def _first_clash(checked: Mapping[Path, PipelineFile], running: Mapping[Path, Gateway]) -> tuple[Path, str] | None:
    owners: dict[str, str] = {}

    def is_new(path: Path) -> bool:
        old, new = running.get(path), checked[path].pipeline
        return not (old and (new is None or old.pipeline.spec == new.spec))

    for path in sorted(checked, key=is_new):
        old = running.get(path)
        pipeline = checked[path].pipeline or (old.pipeline if old else None)
        if pipeline is None:
            continue
        endpoints = [f"endpoint {endpoint}" for endpoint in pipeline.spec.endpoints]
        for claim in (f"name '{pipeline.spec.name}'", *endpoints):
            owner = owners.setdefault(claim, path.name)
            if owner != path.name and checked[path].pipeline is not None:
                return path, f"{claim} is also that of the pipeline in {owner}; change one."
    return None


def _log_changes(before: Mapping[Path, ServedPipeline], after: Sequence[ServedPipeline]) -> None:
    for path, served in before.items():
        if path not in {other.path for other in after}:
            logger.info("%s was removed; pipeline '%s' is not served any more", path.name, served.name)
    for served in after:
        old = before.get(served.path)
        if served.problems and (old is None or old.problems != served.problems):
            _log_problems(served)
        elif served.gateway is not None and before and (old is None or old.gateway is not served.gateway):
            logger.info("%s was read: pipeline '%s' is served as it is there", served.path.name, served.name)


def _log_problems(served: ServedPipeline) -> None:
    for problem in served.problems:
        logger.error("%s", problem)
    runs_on = f"; pipeline '{served.name}' runs on as it was before" if served.gateway else "; nothing of it is served"
    logger.error("%s was not taken over%s", served.path.name, runs_on)
