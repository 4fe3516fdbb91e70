"""Pictures of a pipeline: in a terminal, as Mermaid, DOT or SVG. Pure: a pipeline in, a text out."""

from megaservice.pipeline.drawing.dot import to_dot
from megaservice.pipeline.drawing.mermaid import to_mermaid
from megaservice.pipeline.drawing.svg import to_svg
from megaservice.pipeline.drawing.terminal import to_text

__all__ = ["to_dot", "to_mermaid", "to_svg", "to_text"]
