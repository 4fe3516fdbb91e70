"""Draws the ratios as an SVG of horizontal bars, by hand: a plotting library would be the largest dependency."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from benchmarks import summary as measured
from benchmarks.contenders import OURS, STOCK
from benchmarks.report import number
from benchmarks.summary import Summary
from benchmarks.targets import GRADED, limit_of

_WIDTH = 760
_LABEL_WIDTH = 300
_BAR_WIDTH = 370
_ROW = 30
_BAR_HEIGHT = 16
_TITLE = 46

#: Dark pages get light text: the picture is inside somebody's page and cannot know its colour otherwise.
_STYLE = """
text { font: 13px system-ui, sans-serif; fill: #24292f; }
.title { font-weight: 600; font-size: 14px; }
.small { font-size: 11px; fill: #57606a; }
.met { fill: #1a7f64; }
.missed { fill: #c4632a; }
.bound { stroke: #24292f; stroke-width: 2; }
.axis { stroke: #8c959f; stroke-width: 1; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9da7b3; }
  .met { fill: #3fb68b; }
  .missed { fill: #e58a52; }
  .bound { stroke: #e6edf3; }
}
"""


@dataclass(frozen=True, slots=True)
class Bar:
    """One ratio, its bound if it has one, and which side of the bound is right."""

    label: str
    value: float
    bound: float | None = None
    at_least: bool = True

    @property
    def css_class(self) -> str:
        """How it is filled."""
        if self.bound is None:
            return "met"
        return "met" if (self.value >= self.bound if self.at_least else self.value <= self.bound) else "missed"


@dataclass(frozen=True, slots=True)
class Panel:
    """Bars with one scale."""

    title: str
    bars: Sequence[Bar]


def ratio_panels(summary: Summary) -> list[Panel]:
    """Return what is drawn: our ratios to stock, and to the limit."""
    limit = limit_of(summary)
    rps, speed, cpu = measured.rps, measured.tokens_per_second, measured.cpu_per_million_tokens
    graded = OURS + GRADED
    versus_stock = [
        ("JSON requests/s, one LLM node", summary.ratio("json", OURS, STOCK, rps), 15.0),
        ("JSON requests/s, LLM then grader", summary.ratio("grade", graded, STOCK + GRADED, rps), 10.0),
        ("tokens/s at full speed, 64 streams", summary.ratio("streams", OURS, STOCK, speed), 10.0),
        ("tokens per CPU second, 256 streams", summary.ratio("cpu", STOCK, OURS, cpu), None),
    ]
    more = [
        ("JSON requests/s (more is better)", summary.ratio("json", OURS, limit, rps), 0.25),
        ("tokens/s at full speed (more is better)", summary.ratio("streams", OURS, limit, speed), None),
    ]
    less = [
        ("CPU per token (less is better)", summary.ratio("cpu", OURS, limit, cpu), 1.9),
        ("CPU per token, graded (less is better)", summary.ratio("cpu", graded, limit, cpu), 1.9),
        ("gap p99, 1000 streams (less is better)", summary.ratio("storm", OURS, limit, measured.gap_p99_ms), 1.5),
    ]
    panels = [
        Panel(f"How many times {STOCK} OPEA", _bars(versus_stock, at_least=True)),
        Panel(f"How many times {limit}", [*_bars(more, at_least=True), *_bars(less, at_least=False)]),
    ]
    return [panel for panel in panels if panel.bars]


def _bars(entries: Sequence[tuple[str, float | None, float | None]], *, at_least: bool) -> list[Bar]:
    return [Bar(label, value, bound, at_least) for label, value, bound in entries if value is not None]


def render_svg(panels: Sequence[Panel]) -> str:
    """Return the picture; the stroke across a bar is its target."""
    parts = []
    top = 0
    for panel in panels:
        parts += _panel(panel, top)
        top += _TITLE + _ROW * len(panel.bars)
    height = top + 30
    parts.append(_text(8, height - 10, "The stroke is the target; a bar of the other colour misses it.", "small"))
    body = "\n".join(parts)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}"'
        f' role="img" aria-label="Ratios of throughput and cost">\n<style>{_STYLE}</style>\n{body}\n</svg>\n'
    )


def _panel(panel: Panel, top: int) -> list[str]:
    largest = max(max(bar.value, bar.bound or 0.0) for bar in panel.bars)
    scale = _BAR_WIDTH / largest if largest > 0 else 0.0
    bottom = top + _TITLE + _ROW * len(panel.bars) - 8
    parts = [_text(8, top + 28, panel.title, "title")]
    for row, bar in enumerate(panel.bars):
        parts += _bar(bar, top + _TITLE + row * _ROW, scale)
    parts.append(f'<line class="axis" x1="{_LABEL_WIDTH}" y1="{top + _TITLE - 6}" x2="{_LABEL_WIDTH}" y2="{bottom}"/>')
    return parts


def _bar(bar: Bar, y: int, scale: float) -> list[str]:
    width = max(1.0, bar.value * scale)
    parts = [
        _text(8, y + 13, bar.label),
        f'<rect class="{bar.css_class}" x="{_LABEL_WIDTH}" y="{y}" width="{width:.1f}" height="{_BAR_HEIGHT}" rx="2"/>',
    ]
    end = width
    if bar.bound is not None:
        x = _LABEL_WIDTH + bar.bound * scale
        parts.append(f'<line class="bound" x1="{x:.1f}" y1="{y - 4}" x2="{x:.1f}" y2="{y + _BAR_HEIGHT + 4}"/>')
        end = max(end, bar.bound * scale)
    return [*parts, _text(_LABEL_WIDTH + end + 8, y + 13, f"{number(bar.value)}x")]


def _text(x: float, y: float, text: str, css_class: str = "") -> str:
    attribute = f' class="{css_class}"' if css_class else ""
    return f'<text{attribute} x="{x:.1f}" y="{y:.1f}">{escape(text)}</text>'
