"""From one dialect to another: a pipeline written out, and a list of what the target cannot say."""

from __future__ import annotations

from dataclasses import dataclass

from megaservice.pipeline.dialects.dialect import Dialect
from megaservice.pipeline.dialects.losses import Loss
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import PipelineSpec

__all__ = ["Converted", "Dialect", "Loss", "convert"]


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
    raise NotImplementedError(f"not yet: {type(pipeline).__name__} to {dialect}")
