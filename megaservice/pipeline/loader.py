"""From a file to a pipeline that can run, or to every problem in it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from megaservice.pipeline.checks import check_pipeline
from megaservice.pipeline.dialects.opea import read_opea
from megaservice.pipeline.located_yaml import load_yaml
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.problems import PipelineError, Problem


def parse_pipeline(text: str, file: str, variables: Mapping[str, str]) -> Pipeline:
    """Parse and check a pipeline in OPEA's dialect.

    Args:
        text: The YAML.
        file: Its name in problems; its stem names the pipeline if the file does not.
        variables: Fill `${VAR:-default}`.

    Raises:
        PipelineError: With every problem, each at its line and column.
    """
    document = load_yaml(text, file, variables)
    spec = read_opea(document, Path(file).stem.replace("_", "-").lower())
    pipeline = check_pipeline(document, spec) if spec else None
    if document.problems or pipeline is None:
        raise PipelineError(document.problems)
    return pipeline


def load_pipelines(folder: Path, variables: Mapping[str, str] | None = None) -> list[Pipeline]:
    """Load every `*.yaml` of a folder, in the order of their names.

    Args:
        folder: Where the files are.
        variables: Fill `${VAR:-default}`; the process's environment if None.

    Raises:
        PipelineError: With the problems of all files, and of files that clash.
    """
    known = os.environ if variables is None else variables
    paths = sorted(folder.glob("*.yaml"))
    if not paths:
        raise PipelineError([Problem(str(folder), 1, 1, "there is no pipeline file (*.yaml) in this folder.")])
    pipelines: list[Pipeline] = []
    problems: list[Problem] = []
    for path in paths:
        try:
            pipelines.append(parse_pipeline(path.read_text("utf-8"), str(path), known))
        except PipelineError as exc:
            problems.extend(exc.located)
        except (OSError, UnicodeDecodeError) as exc:
            problems.append(Problem(str(path), 1, 1, f"cannot be read: {exc}."))
    problems.extend(_clashes(folder, pipelines))
    if problems:
        raise PipelineError(problems)
    return pipelines


def _clashes(folder: Path, pipelines: list[Pipeline]) -> list[Problem]:
    problems = []
    owners: dict[str, str] = {}
    for pipeline in pipelines:
        for key in (f"name '{pipeline.spec.name}'", *(f"endpoint {path}" for path in pipeline.spec.endpoints)):
            if key in owners:
                other = owners[key]
                message = f"pipelines '{other}' and '{pipeline.spec.name}' have the same {key}; change one."
                problems.append(Problem(str(folder), 1, 1, message))
            owners[key] = pipeline.spec.name
    return problems
