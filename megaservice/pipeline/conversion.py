"""From one dialect to another: a pipeline written out, and a list of what the target cannot say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from megaservice.pipeline.dialects.dialect import Dialect
from megaservice.pipeline.dialects.gmc_writer import to_gmc
from megaservice.pipeline.dialects.losses import Loss
from megaservice.pipeline.dialects.mega_writer import to_mega
from megaservice.pipeline.dialects.opea_writer import to_opea
from megaservice.pipeline.dialects.yaml_text import yaml_text
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import PipelineSpec

__all__ = ["Converted", "Dialect", "Loss", "convert", "to_gmc", "to_mega", "to_opea"]

_WRITERS: Mapping[Dialect, Callable[[PipelineSpec], tuple[dict[str, Any], list[Loss]]]] = {
    Dialect.OPEA: to_opea,
    Dialect.MEGA: to_mega,
    Dialect.GMC: to_gmc,
}


@dataclass(frozen=True, slots=True)
class Converted:
    """A pipeline in another dialect.

    Attributes:
        text: The YAML.
        losses: What it does not carry, in the order of the nodes.
    """

    text: str
    losses: tuple[Loss, ...]


def convert(pipeline: Pipeline | PipelineSpec, dialect: Dialect) -> Converted:
    """Write a pipeline in a dialect.

    Args:
        pipeline: As checked, or as declared.
        dialect: The target's dialect.

    Returns:
        The file's text, and what it does not carry. In OPEA's dialect, extended by this project, nothing is lost.
    """
    spec = pipeline.spec if isinstance(pipeline, Pipeline) else pipeline
    data, losses = _WRITERS[dialect](spec)
    return Converted(yaml_text(data), tuple(dict.fromkeys(losses)))
