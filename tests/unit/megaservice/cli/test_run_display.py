"""How a run is shown: lines that stay in place on a terminal, plain lines elsewhere."""

from __future__ import annotations

import io
import re

import pytest

from megaservice.cli.run_display import LiveDisplay, PlainDisplay
from megaservice.cli.watching import NodeProgress, RunWatch
from megaservice.orchestration.readiness import NodeStatus

_UP = re.compile(r"\x1b\[(\d+)A\r\x1b\[J")
_COLOUR = re.compile(r"\x1b\[\d*m")


def _screen(written: str) -> list[str]:
    """Return the lines that a terminal would show after what was written."""
    lines: list[str] = []
    rest = _COLOUR.sub("", written)
    position = 0
    for match in [*_UP.finditer(rest), None]:
        lines.extend(rest[position : match.start() if match else len(rest)].split("\n")[:-1])
        if match:
            lines = lines[: -int(match[1])]
            position = match.end()
    return lines


def _watch(*names: str) -> RunWatch:
    return RunWatch(names)


def test_live_display_keeps_one_line_for_each_node_below_the_answer() -> None:
    """Whatever came, the screen shows the whole answer and each node once."""
    watch = _watch("llm", "grader")
    screen = io.StringIO()
    display = watch.display = LiveDisplay(screen, watch.nodes)
    watch.began("llm")
    for delta in ("Ciao!\nCome", " stai", "?"):
        watch.part("llm")
        display.text(delta)
    watch.answered("llm", {"usage": {"completion_tokens": 7}})
    watch.ended({"llm": NodeStatus.SUCCEEDED, "grader": NodeStatus.SKIPPED})
    display.finish()
    lines = _screen(screen.getvalue())
    assert lines[:2] == ["Ciao!", "Come stai?"]
    assert re.fullmatch(r"llm     succeeded    0\.0\d s  7 tokens", lines[2])
    assert lines[3] == "grader  skipped"
    assert len(lines) == 4


def test_live_display_wraps_long_lines_so_that_it_knows_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is wider than the terminal, wide characters counted as two."""
    monkeypatch.setenv("COLUMNS", "31")
    screen = io.StringIO()
    display = LiveDisplay(screen, {"llm": NodeProgress("llm")})
    for word in ("parola ",) * 9 + ("長い言葉",) * 5:
        display.text(word)
    display.finish()
    lines = _screen(screen.getvalue())
    assert "".join(lines[:-1]) == "parola " * 9 + "長い言葉" * 5
    assert max(map(len, lines)) <= 30


def test_live_display_shows_no_more_nodes_than_fit(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of many nodes those at work are there."""
    monkeypatch.setenv("LINES", "10")
    watch = _watch(*(f"node{number}" for number in range(50)))
    screen = io.StringIO()
    watch.display = LiveDisplay(screen, watch.nodes)
    watch.began("node40")
    lines = _screen(screen.getvalue())
    assert len(lines) == 6
    assert any(line.startswith("node40") for line in lines)


def test_plain_display_writes_a_line_for_each_beginning_and_end() -> None:
    """The answer and what the nodes do go to different streams."""
    watch = _watch("llm")
    answer, progress = io.StringIO(), io.StringIO()
    display = watch.display = PlainDisplay(answer, progress)
    watch.began("llm")
    watch.part("llm")
    display.text("Ciao!")
    watch.answered("llm", {})
    display.finish()
    assert answer.getvalue() == "Ciao!\n"
    assert re.fullmatch(r"llm running 0\.00 s\nllm succeeded 0\.0\d s 1 token\n", progress.getvalue())


def test_tokens_add_up_over_several_calls() -> None:
    """A loop's attempts count together; the service's own count replaces that of the parts."""
    watch = _watch("llm")
    for _ in range(2):
        watch.began("llm")
        watch.part("llm")
        watch.answered("llm", {"usage": {"completion_tokens": 5}})
    assert (watch.nodes["llm"].tokens, watch.nodes["llm"].calls) == (10, 2)
