"""A pipeline in DOT, Graphviz's language: https://graphviz.org/doc/info/lang.html."""

from __future__ import annotations

from collections.abc import Iterator

from megaservice.pipeline.drawing.picture import Picture, PictureEdge, PictureNode, picture_of
from megaservice.pipeline.pipeline import Pipeline


def to_dot(pipeline: Pipeline) -> str:
    """Return a pipeline as a digraph."""
    return "\n".join(_lines(picture_of(pipeline))) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    yield f"digraph {_quoted(picture.title)} {{"
    yield '    graph [fontname="Helvetica", bgcolor="transparent"];'
    yield '    node [shape=box, style=rounded, fontname="Helvetica"];'
    yield '    edge [fontname="Helvetica", fontsize=10];'
    for node in picture.nodes:
        yield f"    {_quoted(node.name)} [{_attributes(node)}];"
    for number, loop in enumerate(picture.loops):
        yield f"    subgraph cluster_{number} {{"
        yield f"        label={_quoted(loop.label)}; style=dashed;"
        yield "        " + " ".join(f"{_quoted(name)};" for name in loop.nodes)
        yield "    }"
    for edge in picture.edges:
        yield f"    {_quoted(edge.source)} -> {_quoted(edge.target)}{_edge_attributes(edge)};"
    yield "}"


def _attributes(node: PictureNode) -> str:
    styles = ["rounded", *(["dashed"] if node.is_soft else []), *(["bold"] if node.is_answer else [])]
    label = _quoted("\n".join((node.name, *node.details)))
    shape = ", shape=oval" if node.is_request else ""
    return f'label={label}, style="{",".join(styles)}"{shape}'


def _edge_attributes(edge: PictureEdge) -> str:
    return f" [label={_quoted(edge.label)}, style=dashed]" if edge.label else ""


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'
