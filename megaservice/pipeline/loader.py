"""From a file to a pipeline that can run, or to every problem in it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from megaservice.pipeline.checks import check_pipeline
from megaservice.pipeline.dialects.dialect import Dialect, recognise
from megaservice.pipeline.dialects.gmc import translate_gmc
from megaservice.pipeline.dialects.mega import translate_mega
from megaservice.pipeline.dialects.opea import MEGA_KEY, read_opea
from megaservice.pipeline.located_yaml import LocatedYaml, load_yaml
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.problems import PipelineError, Problem
from megaservice.pipeline.spec import PipelineHead

#: Each turns a document of its dialect into one of OPEA's.
_TRANSLATORS: Mapping[Dialect | None, Callable[[LocatedYaml], None]] = {
    Dialect.MEGA: translate_mega,
    Dialect.GMC: translate_gmc,
}


@dataclass(frozen=True, slots=True)
class _Read:
    """One file, read and checked: the pipeline is None if there are problems, the head if its name is wrong."""

    document: LocatedYaml
    head: PipelineHead | None
    pipeline: Pipeline | None
    dialect: Dialect | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one file.

    Attributes:
        pipeline: The pipeline; None if there are problems.
        problems: What is wrong, each at its line and column.
        notes: What is right and has no effect here, or was understood in a way that a reader may want to know.
        dialect: How it is written; None if that cannot be told.
    """

    pipeline: Pipeline | None
    problems: tuple[Problem, ...]
    notes: tuple[Problem, ...]
    dialect: Dialect | None


def read_pipeline(text: str, file: str, variables: Mapping[str, str]) -> Reading:
    """Parse and check a pipeline in any dialect; what is wrong with it is in the result.

    Args:
        text: The YAML.
        file: Its name in problems; its stem names the pipeline if the file does not.
        variables: Fill `${VAR:-default}`.
    """
    try:
        read = _parse(text, file, variables)
    except PipelineError as exc:
        return Reading(None, exc.located, (), None)
    problems, notes = sorted(set(read.document.problems)), sorted(set(read.document.notes))
    return Reading(read.pipeline, tuple(problems), tuple(notes), read.dialect)


def parse_pipeline(text: str, file: str, variables: Mapping[str, str]) -> Pipeline:
    """Parse and check a pipeline in any dialect, which its keys tell.

    Args:
        text: The YAML.
        file: Its name in problems; its stem names the pipeline if the file does not.
        variables: Fill `${VAR:-default}`.

    Raises:
        PipelineError: With every problem, each at its line and column.
    """
    read = _parse(text, file, variables)
    if read.pipeline is None:
        raise PipelineError(read.document.problems)
    return read.pipeline


def load_pipelines(folder: Path, variables: Mapping[str, str] | None = None) -> list[Pipeline]:
    """Load every `*.yaml` and `*.yml` of a folder, in the order of their names.

    Args:
        folder: Where the files are.
        variables: Fill `${VAR:-default}`; the process's environment if None.

    Raises:
        PipelineError: With the problems of all files, and of files that clash.
    """
    known = os.environ if variables is None else variables
    paths = sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not paths:
        raise PipelineError([Problem(str(folder), 1, 1, "there is no pipeline file (*.yaml, *.yml) in this folder.")])
    files: list[_Read] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            files.append(_parse(path.read_text("utf-8"), str(path), known))
        except PipelineError as exc:
            problems.extend(exc.located)
        except (OSError, UnicodeDecodeError) as exc:
            problems.append(Problem(str(path), 1, 1, f"cannot be read: {exc}."))
    problems.extend(problem for read in files for problem in read.document.problems)
    problems.extend(_clashes(files))
    if problems:
        raise PipelineError(problems)
    return [read.pipeline for read in files if read.pipeline]


def _parse(text: str, file: str, variables: Mapping[str, str]) -> _Read:
    document = load_yaml(text, file, variables)
    dialect = _dialect(document)
    if dialect is None and isinstance(document.data, dict) and document.data:
        document.problem((str(next(iter(document.data))),), _no_dialect(document.data))
        return _Read(document, None, None)
    if dialect in _TRANSLATORS:
        _TRANSLATORS[dialect](document)
    draft = read_opea(document, Path(file).stem.replace("_", "-").lower())
    if draft is None:
        return _Read(document, None, None, dialect)
    return _Read(document, draft.head, check_pipeline(document, draft, variables), dialect)


def _dialect(document: LocatedYaml) -> Dialect | None:
    data = document.data
    return recognise([str(key) for key in data]) if isinstance(data, dict) else None


def _no_dialect(keys: Iterable[object]) -> str:
    shapes = "'opea_micro_services' (with 'opea_mega_service'), 'micro_services' (with 'mega_service')"
    found = ", ".join(str(key) for key in keys)
    return f"the keys {found} are of no dialect: a pipeline file has {shapes}, or 'kind: GMConnector'."


def _clashes(files: Sequence[_Read]) -> Iterator[Problem]:
    """Yield what a file shares with one before it: a name, or an endpoint."""
    names: dict[str, _Read] = {}
    endpoints: dict[str, _Read] = {}
    for read in files:
        if read.head is None:
            continue
        other = names.setdefault(read.head.name, read)
        if other is not read:
            place = (MEGA_KEY, "name")
            yield _clash(read, place, f"name '{read.head.name}' is also that of the pipeline in {_file(other)}")
        for index, path in enumerate(read.head.endpoints):
            owner = endpoints.setdefault(path, read)
            # Two pipelines of one name have one default endpoint: another name mends both.
            if owner is not read and not (owner is other and _is_default(read)):
                assert owner.head is not None  # only files with one are in the table  # noqa: S101
                what = f"endpoint {path} is also that of pipeline '{owner.head.name}' in {_file(owner)}"
                yield _clash(read, (MEGA_KEY, "endpoints", index), what)


def _clash(read: _Read, place: tuple[str | int, ...], what: str) -> Problem:
    return read.document.problem_at(place, f"{what}; change one.")


def _file(read: _Read) -> str:
    return Path(read.document.file).name


def _is_default(read: _Read) -> bool:
    return (MEGA_KEY, "endpoints") not in read.document.places
