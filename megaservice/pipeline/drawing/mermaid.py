"""A pipeline as Mermaid: https://mermaid.js.org/syntax/flowchart.html. GitHub draws it in any Markdown."""

from __future__ import annotations

from collections.abc import Iterator

from megaservice.pipeline.drawing.picture import Picture, PictureEdge, PictureNode, picture_of
from megaservice.pipeline.pipeline import Pipeline

#: Characters that Mermaid or HTML would read: by their entity codes, as Mermaid's documentation says.
_ENTITIES = {ord(char): f"#{ord(char)};" for char in "\"#;&<>`'|\\[]{}"}


def to_mermaid(pipeline: Pipeline) -> str:
    """Return a pipeline as a Mermaid flowchart."""
    return "\n".join(_lines(picture_of(pipeline))) + "\n"


def _lines(picture: Picture) -> Iterator[str]:
    ids = {node.name: f"n{index}" for index, node in enumerate(picture.nodes)}
    looping = {name for loop in picture.loops for name in loop.nodes}
    yield "flowchart TD"
    for node in picture.nodes:
        if node.name not in looping:
            yield f"    {ids[node.name]}{_box(node)}"
    for number, loop in enumerate(picture.loops):
        yield f'    subgraph loop{number}["↻ {_escaped(loop.label)}"]'
        yield from (f"        {ids[node.name]}{_box(node)}" for node in picture.nodes if node.name in loop.nodes)
        yield "    end"
    for edge in picture.edges:
        yield f"    {ids[edge.source]} {_arrow(edge)} {ids[edge.target]}"
    answers = [ids[node.name] for node in picture.nodes if node.is_answer]
    if answers:
        yield "    classDef answer stroke-width:3px"
        yield f"    class {','.join(answers)} answer"
    soft = [ids[node.name] for node in picture.nodes if node.is_soft]
    if soft:
        yield "    classDef soft stroke-dasharray:5 4"
        yield f"    class {','.join(soft)} soft"


def _box(node: PictureNode) -> str:
    text = "<br/>".join(_escaped(line) for line in (node.name, *node.details))
    return f'(["{text}"])' if node.is_request else f'["{text}"]'


def _arrow(edge: PictureEdge) -> str:
    label = f'|"{_escaped(edge.label)}"|' if edge.label else ""
    return f"{'-.->' if edge.label else '-->'}{label}"


def _escaped(text: str) -> str:
    return " ".join(text.split()).translate(_ENTITIES)
