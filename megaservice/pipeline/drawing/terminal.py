"""A pipeline in a terminal: boxes and lines in 80 columns, and a list where they do not fit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import TextWrapper

from megaservice.pipeline.drawing.canvas import Canvas
from megaservice.pipeline.drawing.layout import Layout, is_passing, lay_out
from megaservice.pipeline.drawing.picture import Picture, PictureNode, picture_of, shortened
from megaservice.pipeline.pipeline import Pipeline

_GAP = 3
#: How long a line in a box may be, the longest first that fits.
_LENGTHS = (34, 26, 20, 16, 12)
#: Corners and sides: north-west, across, north-east, side, south-west, south-east.
_PLAIN, _HEAVY = tuple("┌─┐│└┘"), tuple("┏━┓┃┗┛")
_ASCII_PLAIN, _ASCII_HEAVY = tuple("+-+|++"), tuple("#=#|##")
_ASCII = str.maketrans("…·▼↻─▶", "~-v@->")


def to_text(pipeline: Pipeline, *, width: int = 80, ascii_only: bool = False) -> str:
    """Return a pipeline as lines of text.

    Args:
        pipeline: To draw.
        width: The terminal's columns.
        ascii_only: Draw without box-drawing characters.
    """
    picture = picture_of(pipeline)
    for length in _LENGTHS:
        drawing = _Drawing(picture, length, ascii_only=ascii_only)
        if drawing.width <= width:
            told = [*drawing.cut_labels(), *_legend(picture)]
            return _encoded([drawing.rendered(), *_wrapped(told, width)], ascii_only=ascii_only)
    return _encoded(_wrapped([*_listed(picture), *_legend(picture)], width), ascii_only=ascii_only)


def _encoded(lines: Iterable[str], *, ascii_only: bool) -> str:
    text = "\n".join(lines) + "\n"
    return text.translate(_ASCII).encode("ascii", "replace").decode() if ascii_only else text


def _wrapped(lines: Iterable[str], width: int) -> list[str]:
    wrapper = TextWrapper(width, subsequent_indent="    ", break_on_hyphens=False)
    return [part for line in lines for part in wrapper.wrap(line)]


def _legend(picture: Picture) -> Iterator[str]:
    for loop in picture.loops:
        yield f"↻ {', '.join(loop.nodes)}: {loop.label}"
    for edge in picture.edges:
        if edge.is_fallback:
            yield f"{edge.target} stands in for {edge.source} when that fails"


def _listed(picture: Picture) -> Iterator[str]:
    for node in picture.nodes:
        yield f"{node.name}: {', '.join(node.details)}" if node.details else node.name
        for edge in picture.edges:
            if edge.source == node.name and not edge.is_fallback:
                yield f"  ─▶ {edge.target}" + (f" ({edge.label})" if edge.label else "")


class _Drawing:
    """One try, with boxes of some size."""

    def __init__(self, picture: Picture, length: int, *, ascii_only: bool) -> None:
        stand_ins = {edge.target for edge in picture.edges if edge.is_fallback}
        flowing = {name for edge in picture.edges if not edge.is_fallback for name in (edge.source, edge.target)}
        self._nodes = {node.name: node for node in picture.nodes if node.name in flowing or node.name not in stand_ins}
        self._edges = [edge for edge in picture.edges if not edge.is_fallback]
        self._looping = {name for loop in picture.loops for name in loop.nodes}
        self._ascii_only = ascii_only
        self._lines = {name: self._box_lines(node, length) for name, node in self._nodes.items()}
        self._labels = {name: self._labels_of(name, length) for name in self._nodes}
        widths = {name: float(self._width_of(name)) for name in self._nodes}
        self._layout: Layout = lay_out([(edge.source, edge.target) for edge in self._edges], widths, _GAP)
        self._centres = {name: int(centre) for name, centre in self._layout.centres.items()}
        self._straighten()

    def _straighten(self) -> None:
        """Move a node that is one column beside the only one before it; the gap between neighbours allows that."""
        for target in self._centres:
            sources = [source for source, end in self._layout.links if end == target]
            if len(sources) == 1 and abs(self._centres[sources[0]] - self._centres[target]) == 1:
                self._centres[target] = self._centres[sources[0]]

    @property
    def width(self) -> int:
        """The columns that it takes."""
        return int(self._layout.width) + 1

    def _box_lines(self, node: PictureNode, length: int) -> list[str]:
        name = f"{node.name} ↻" if node.name in self._looping else node.name
        return [shortened(line, length) for line in (name, *node.details)]

    def _labels_of(self, name: str, length: int) -> list[str]:
        incoming = [edge for edge in self._edges if edge.target == name]
        told = [edge for edge in incoming if edge.label]
        texts = [f"{edge.source}: {edge.label}" if len(incoming) > 1 else edge.label for edge in told]
        return [shortened(text, length) for text in texts]

    def cut_labels(self) -> Iterator[str]:
        """Yield in full the labels that have no room in the drawing."""
        for edge in self._edges:
            if edge.label and any(label.endswith("…") for label in self._labels[edge.target]):
                yield f"{edge.source} to {edge.target}: {edge.label}"

    def _width_of(self, name: str) -> int:
        box = max(len(line) for line in self._lines[name]) + 4
        label = max((len(label) for label in self._labels[name]), default=0)
        # Odd, so that there is a middle.
        return max(box, label) | 1

    def rendered(self) -> str:
        """Return the boxes and lines."""
        canvas = Canvas(ascii_only=self._ascii_only)
        top = 0
        for number, layer in enumerate(self._layout.layers):
            if number:
                top = self._connect(canvas, self._layout.layers[number - 1], layer, top)
            top = self._draw_layer(canvas, layer, top)
        return canvas.rendered()

    def _draw_layer(self, canvas: Canvas, layer: Sequence[str], top: int) -> int:
        height = max(len(self._lines[name]) + 2 for name in layer if not is_passing(name))
        for name in layer:
            if is_passing(name):
                canvas.vertical(self._centres[name], top - 1, top + height)
            else:
                self._draw_box(canvas, name, top)
                if any(edge.source == name for edge in self._edges):
                    canvas.vertical(self._centres[name], top + len(self._lines[name]) + 1, top + height)
        return top + height

    def _draw_box(self, canvas: Canvas, name: str, top: int) -> None:
        lines = self._lines[name]
        inner = (max(len(line) for line in lines) + 2) | 1
        left = self._centres[name] - inner // 2 - 1
        styles = (_ASCII_PLAIN, _ASCII_HEAVY) if self._ascii_only else (_PLAIN, _HEAVY)
        north_west, across, north_east, side, south_west, south_east = styles[self._nodes[name].is_answer]
        canvas.text(left, top, f"{north_west}{across * inner}{north_east}")
        for row, line in enumerate(lines, top + 1):
            canvas.text(left, row, f"{side}{line.center(inner)}{side}")
        canvas.text(left, top + len(lines) + 1, f"{south_west}{across * inner}{south_east}")

    def _connect(self, canvas: Canvas, above: Sequence[str], below: Sequence[str], top: int) -> int:
        """Draw the lines between two layers; return the row below them."""
        links = [link for link in self._layout.links if link[0] in above and link[1] in below]
        columns = self._centres
        rows = self._channel_rows(links)
        label_rows = max((len(self._labels.get(name, ())) for name in below), default=0)
        bottom = top + max(rows.values(), default=0) + label_rows + 1
        for source, target in links:
            if columns[source] == columns[target]:
                canvas.vertical(columns[source], top - 1, bottom)
                continue
            row = top + rows[source]
            canvas.vertical(columns[source], top - 1, row)
            canvas.horizontal(row, columns[source], columns[target])
            canvas.vertical(columns[target], row, bottom)
        for name in below:
            for offset, label in enumerate(reversed(self._labels.get(name, ()))):
                canvas.text(columns[name] - len(label) // 2, bottom - 1 - offset, label)
            if not is_passing(name) and any(link[1] == name for link in links):
                canvas.text(columns[name], bottom, "▼")
        return bottom + 1

    def _channel_rows(self, links: Iterable[tuple[str, str]]) -> dict[str, int]:
        """Return the row of each node whose lines go sideways, from 0; where lines would run together, another one."""
        columns = self._centres
        sideways = [link for link in links if columns[link[0]] != columns[link[1]]]
        sources = list(dict.fromkeys(source for source, _ in sideways))
        targets: Mapping[str, set[int]] = {
            source: {columns[target] for begin, target in sideways if begin == source} for source in sources
        }
        rows: dict[str, int] = {}
        waiting = sources
        while waiting:
            # A source whose column another one's line comes down in must have left it before.
            free = [name for name in waiting if not any(columns[name] in targets[name_] for name_ in rows)]
            name = next(
                (name for name in free if not targets[name] & {columns[other] for other in waiting if other != name}),
                free[0] if free else waiting[0],
            )
            rows[name] = self._first_free_row(name, targets, rows)
            waiting = [other for other in waiting if other != name]
        return rows

    def _first_free_row(self, name: str, targets: Mapping[str, set[int]], rows: Mapping[str, int]) -> int:
        """Return a row in which no other line runs where this one's does, below those that share a column with it."""
        columns = self._centres

        def reach(source: str) -> tuple[int, int]:
            places = {columns[source], *targets[source]}
            return min(places), max(places)

        left, right = reach(name)
        row = 0
        for other, used in rows.items():
            start, end = reach(other)
            if start <= right and left <= end:
                row = max(row, used + 1)
        return row
