"""A pipeline as SVG, readable on light and dark backgrounds, without a script or a font of its own."""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape

from megaservice.pipeline.drawing.layout import Layout, is_passing, lay_out
from megaservice.pipeline.drawing.picture import Picture, PictureEdge, PictureNode, picture_of, shortened
from megaservice.pipeline.pipeline import Pipeline

_CHAR, _SMALL_CHAR = 8.2, 6.9
_LINE, _PADDING, _GAP, _MARGIN = 18.0, 12.0, 36.0, 24.0
_BETWEEN = 56.0
_LONGEST = 42
_STYLE = """\
text{font:13px system-ui,'Segoe UI',Helvetica,Arial,sans-serif;fill:#1f2328;text-anchor:middle}
.name{font-weight:600}.small{font-size:12px;fill:#59636e}.label{font-size:11px}
.box{fill:#f6f8fa;stroke:#59636e;stroke-width:1.25}.answer{stroke:#0969da;stroke-width:3}
.soft{stroke-dasharray:5 4}.request{fill:#ddf4ff;stroke:#0969da}
.edge{fill:none;stroke:#59636e;stroke-width:1.5}.conditional{stroke-dasharray:5 4}.head{fill:#59636e}
.pill{fill:#fff8c5;stroke:#d4a72c}.loop{fill:none;stroke:#8250df;stroke-width:1.5;stroke-dasharray:8 5}
.loopname{fill:#8250df;font-size:11px;text-anchor:start;stroke:#fff;stroke-width:3px;paint-order:stroke}
@media (prefers-color-scheme:dark){text{fill:#e6edf3}.small{fill:#9198a1}.box{fill:#151b23;stroke:#9198a1}
.answer,.request{stroke:#4493f8}.request{fill:#121d2f}.edge{stroke:#9198a1}.head{fill:#9198a1}
.pill{fill:#272115;stroke:#9e6a03}.loop{stroke:#ab7df8}.loopname{fill:#ab7df8;stroke:#0d1117}}"""


def to_svg(pipeline: Pipeline) -> str:
    """Return a pipeline as an SVG document."""
    return _Drawing(picture_of(pipeline)).rendered()


class _Drawing:
    def __init__(self, picture: Picture) -> None:
        self._picture = picture
        self._nodes = {node.name: node for node in picture.nodes}
        self._edges = {(edge.source, edge.target): edge for edge in picture.edges}
        widths = {node.name: max(self._box_width(node), self._label_width(node.name)) for node in picture.nodes}
        self._layout: Layout = lay_out(list(self._edges), widths, _GAP)
        self._tops, self._height = self._rows()

    @staticmethod
    def _box_width(node: PictureNode) -> float:
        details = max((len(shortened(line, _LONGEST)) for line in node.details), default=0) * _SMALL_CHAR
        return max(len(node.name) * _CHAR, details) + 2 * _PADDING

    def _labels(self, name: str) -> list[str]:
        incoming = [edge for edge in self._edges.values() if edge.target == name]
        return [self._label(edge, len(incoming)) for edge in incoming if edge.label]

    @staticmethod
    def _label(edge: PictureEdge, count: int) -> str:
        return shortened(f"{edge.source}: {edge.label}" if count > 1 else edge.label, _LONGEST)

    def _label_width(self, name: str) -> float:
        return max((len(label) for label in self._labels(name)), default=0) * _SMALL_CHAR + 12

    @staticmethod
    def _box_height(node: PictureNode) -> float:
        return (1 + len(node.details)) * _LINE + _PADDING

    def _rows(self) -> tuple[list[float], float]:
        """Return the top of each layer, and where the last one ends."""
        tops: list[float] = []
        here = _MARGIN
        for number, layer in enumerate(self._layout.layers):
            names = [name for name in layer if not is_passing(name)]
            labels = max((len(self._labels(name)) for name in names), default=0)
            here += (_BETWEEN + labels * _LINE) if number else 0
            tops.append(here)
            here += max((self._box_height(self._nodes[name]) for name in names), default=0)
        return tops, here + (_LINE if self._picture.loops else 0)

    def rendered(self) -> str:
        left, right = self._loop_reach()
        width, height = right - left + 2 * _MARGIN, self._height + _MARGIN
        title = escape(f"Pipeline {self._picture.title}")
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{left - _MARGIN:.0f} 0 {width:.0f} {height:.0f}"'
        size = f'width="{width:.0f}" height="{height:.0f}" role="img"'
        parts = [f"{head} {size}>", f"<title>{title}</title>", f"<style>{_STYLE}</style>"]
        parts.extend(self._path(edge) for edge in self._edges.values())
        parts.extend(self._loops())
        parts.extend(line for name in self._nodes for line in self._pills(name))
        parts.extend(line for name in self._nodes for line in self._node(name))
        return "\n".join([*parts, "</svg>"]) + "\n"

    def _loop_reach(self) -> tuple[float, float]:
        """Return how far the picture goes to the left and right, with the words of its loops."""
        left, right = 0.0, self._layout.width
        for loop in self._picture.loops:
            x, _, width, _ = self._around(loop.nodes)
            text = x + len(shortened(loop.label, 2 * _LONGEST)) * _SMALL_CHAR
            left, right = min(left, x), max(right, x + width, text)
        return left, right

    def _depth(self, name: str) -> int:
        return next(number for number, layer in enumerate(self._layout.layers) if name in layer)

    def _box(self, name: str) -> tuple[float, float, float, float]:
        """Return the left, top, width and height of a node's box."""
        node = self._nodes[name]
        width = self._box_width(node)
        return self._layout.centres[name] - width / 2, self._tops[self._depth(name)], width, self._box_height(node)

    def _around(self, names: tuple[str, ...]) -> tuple[float, float, float, float]:
        boxes = [self._box(name) for name in names]
        left, top = min(box[0] for box in boxes) - 14, min(box[1] for box in boxes) - 14
        right, bottom = max(box[0] + box[2] for box in boxes) + 14, max(box[1] + box[3] for box in boxes) + 14
        return left, top, right - left, bottom - top

    def _loops(self) -> Iterator[str]:
        for loop in self._picture.loops:
            x, y, width, height = self._around(loop.nodes)
            yield f'<rect class="loop" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="10"/>'
            label = escape(shortened(f"↻ {loop.label}", 2 * _LONGEST))
            yield f'<text class="loopname" x="{x + 4:.1f}" y="{y + height + 13:.1f}">{label}</text>'

    def _path(self, edge: PictureEdge) -> str:
        links = [link for link in self._layout.links if self._layout.ends[link] == (edge.source, edge.target)]
        style = "edge conditional" if edge.label else "edge"
        x, y, _, height = self._box(edge.source)
        path = [f"M{self._layout.centres[edge.source]:.1f} {y + height:.1f}"]
        here = y + height
        for _, target in links:
            there = self._tops[self._depth(target)] - (0 if is_passing(target) else 7)
            x, x_before = self._layout.centres[target], self._layout.centres[_]
            bend = (there - here) / 2
            path.append(f"C{x_before:.1f} {here + bend:.1f} {x:.1f} {there - bend:.1f} {x:.1f} {there:.1f}")
            if is_passing(target):
                here = there + self._layer_height(self._depth(target))
                path.append(f"V{here:.1f}")
        tip = self._tops[self._depth(edge.target)]
        head = f'<path class="head" d="M{x - 4.5:.1f} {tip - 8:.1f}h9l-4.5 8z"/>'
        whole = escape(f"{edge.source} to {edge.target}" + (f": {edge.label}" if edge.label else ""))
        return f'<path class="{style}" d="{"".join(path)}"><title>{whole}</title></path>{head}'

    def _layer_height(self, depth: int) -> float:
        names = [name for name in self._layout.layers[depth] if not is_passing(name)]
        return max((self._box_height(self._nodes[name]) for name in names), default=0.0)

    def _pills(self, name: str) -> Iterator[str]:
        x, bottom = self._layout.centres[name], self._tops[self._depth(name)] - 14
        for index, label in enumerate(reversed(self._labels(name))):
            y, width = bottom - index * _LINE, len(label) * _SMALL_CHAR * 0.92 + 10
            yield (
                f'<rect class="pill" x="{x - width / 2:.1f}" y="{y - 14:.1f}" width="{width:.1f}" height="16" rx="8"/>'
                f'<text class="label" x="{x:.1f}" y="{y - 2:.1f}">{escape(label)}</text>'
            )

    def _node(self, name: str) -> Iterator[str]:
        node = self._nodes[name]
        x, y, width, height = self._box(name)
        marks = {"answer": node.is_answer, "soft": node.is_soft, "request": node.is_request}
        style = " ".join(["box", *(mark for mark, holds in marks.items() if holds)])
        round_by = height / 2 if node.is_request else 8
        yield f"<g><title>{escape(', '.join((name, *node.details)))}</title>"
        yield (
            f'<rect class="{style}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            f' rx="{round_by:.0f}"/>'
        )
        middle = self._layout.centres[name]
        yield f'<text class="name" x="{middle:.1f}" y="{y + _LINE:.1f}">{escape(name)}</text>'
        for row, line in enumerate(node.details, 2):
            text = escape(shortened(line, _LONGEST))
            yield f'<text class="small" x="{middle:.1f}" y="{y + row * _LINE:.1f}">{text}</text>'
        yield "</g>"
