"""Shows a run as it goes: a line for each node that stays in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import shutil
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from typing import TextIO

import click

from megaservice.cli.watching import Display, NodeProgress
from megaservice.orchestration.readiness import SETTLED, NodeStatus

_COLOURS = {
    NodeStatus.RUNNING: "yellow",
    NodeStatus.STREAMING: "cyan",
    NodeStatus.SUCCEEDED: "green",
    NodeStatus.FAILED: "red",
}
#: Lines of the terminal that are left for the answer.
_ANSWER_LINES = 4


class SilentDisplay:
    """Shows nothing: what there is to say is in the JSON at the end."""

    def text(self, delta: str) -> None:
        """Show nothing."""

    def changed(self, node: NodeProgress) -> None:
        """Show nothing."""

    def tick(self) -> None:
        """Show nothing."""

    def finish(self) -> None:
        """Leave nothing."""


class PlainDisplay:
    """The answer as it comes on one stream, a line for each change of a node on the other."""

    def __init__(self, answer: TextIO, progress: TextIO) -> None:
        self._answer = answer
        self._progress = progress
        self._line_is_open = False

    def text(self, delta: str) -> None:
        """Write more of the answer."""
        if delta:
            self._answer.write(delta)
            self._answer.flush()
            self._line_is_open = not delta.endswith("\n")

    def changed(self, node: NodeProgress) -> None:
        """Write a line for a state in which something began or ended."""
        if node.state is not NodeStatus.STREAMING:
            self._progress.write(f"{' '.join(_words(node).split())}\n")
            self._progress.flush()

    def tick(self) -> None:
        """Write nothing."""

    def finish(self) -> None:
        """End the answer's last line."""
        if self._line_is_open:
            self._answer.write("\n")
            self._line_is_open = False


class LiveDisplay:
    """Below the answer, a block of lines that is drawn anew with every change.

    Args:
        screen: A terminal.
        nodes: In the order in which they are shown.
        answer: Where the answer goes if not on the terminal.
    """

    def __init__(self, screen: TextIO, nodes: Mapping[str, NodeProgress], answer: TextIO | None = None) -> None:
        self._screen = screen
        self._nodes = nodes
        self._answer = answer
        self._open_line = ""
        self._drawn = 0
        self._name_width = max(map(len, nodes), default=0)

    def text(self, delta: str) -> None:
        """Show more of the answer above the block."""
        if self._answer is not None:
            self._answer.write(delta)
            self._answer.flush()
            return
        *whole, self._open_line = _wrapped(self._open_line + delta, self._width())
        self._draw(whole)

    def changed(self, _node: NodeProgress) -> None:
        """Draw the block anew."""
        self._draw()

    def tick(self) -> None:
        """Draw the block anew: times have changed."""
        self._draw()

    def finish(self) -> None:
        """Draw it a last time."""
        self._draw()
        if self._answer is not None:
            self._answer.write("\n")

    def _draw(self, whole_lines: Iterable[str] = ()) -> None:
        width = self._width()
        block = [self._open_line] if self._open_line else []
        block.extend(self._node_line(node, width) for node in self._shown())
        back = f"\x1b[{self._drawn}A\r\x1b[J" if self._drawn else ""
        self._screen.write(back + "".join(f"{line}\n" for line in (*whole_lines, *block)))
        self._screen.flush()
        self._drawn = len(block)

    def _shown(self) -> list[NodeProgress]:
        """Return the nodes that fit on the screen; those at work first go in."""
        room = max(1, shutil.get_terminal_size().lines - _ANSWER_LINES)
        nodes = list(self._nodes.values())
        if len(nodes) <= room:
            return nodes
        chosen = sorted(nodes, key=lambda node: (node.started_at is None, node.state in SETTLED))[:room]
        return [node for node in nodes if node in chosen]

    def _node_line(self, node: NodeProgress, width: int) -> str:
        line = _words(node, self._name_width)[:width]
        colour = _COLOURS.get(node.state)
        return line.replace(node.state, click.style(node.state, fg=colour), 1) if colour else line

    def _width(self) -> int:
        return max(20, shutil.get_terminal_size().columns - 1)


def make_display(nodes: Mapping[str, NodeProgress], *, as_json: bool) -> Display:
    """Return the display that fits where output and errors go."""
    if as_json:
        return SilentDisplay()
    if sys.stderr.isatty():
        return LiveDisplay(sys.stderr, nodes, None if sys.stdout.isatty() else sys.stdout)
    return PlainDisplay(sys.stdout, sys.stderr)


def _words(node: NodeProgress, name_width: int = 0) -> str:
    """Say in one line what a node is doing."""
    words = f"{node.name:<{name_width}}  {node.state:<9}"
    if node.started_at is not None:
        words += f"  {node.seconds:6.2f} s"
    if node.tokens:
        words += f"  {node.tokens} token{'' if node.tokens == 1 else 's'}"
    if node.calls > 1:
        words += f"  {node.calls} calls"
    return words.rstrip()


def _wrapped(text: str, width: int) -> list[str]:
    """Cut a text into lines that fit; the last one is still open."""
    lines = []
    for line in text.split("\n"):
        rest = line
        while _columns(rest) > width:
            cut = _fitting(rest, width)
            space = rest.rfind(" ", 1, cut)
            cut = space + 1 if space > 0 else cut
            lines.append(rest[:cut])
            rest = rest[cut:]
        lines.append(rest)
    return lines


def _fitting(text: str, width: int) -> int:
    """Return how many characters fit into a line."""
    used = 0
    for index, character in enumerate(text):
        used += _columns(character)
        if used > width:
            return max(1, index)
    return len(text)


def _columns(text: str) -> int:
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in text)
