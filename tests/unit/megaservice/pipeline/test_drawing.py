"""Pictures of pipelines: all that a pipeline says is in each of them, and they are well-formed."""

from __future__ import annotations

from collections.abc import Callable
from textwrap import dedent
from xml.etree import ElementTree as ET

import pytest

from megaservice.pipeline.drawing import to_dot, to_mermaid, to_svg, to_text
from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.pipeline import Pipeline

_EVERYTHING = """
    opea_micro_services:
      detect: {endpoint: 'http://a:1/v1/detect', service_type: text}
      italian: {endpoint: 'http://a:2/v1', model: 'big <model> & "co"', fallback: spare}
      french: {endpoint: 'http://a:3/v1'}
      spare: {endpoint: 'http://a:8/v1'}
      grader: {endpoint: 'http://a:4/v1/grade', dependency: soft, attach: {as: grade}}
      canary: {endpoint: 'http://a:5/v1'}
      guard: {service_type: guard, deny: [bad]}
    opea_mega_service:
      name: demo
      mega_flow:
      - {switch: detect, cases: [{when: "detect.language == 'it'", to: italian}, {to: french}]}
      - italian >> grader >> guard
      - {repeat: [italian, grader], until: 'grader.score >= `0.8`', max: 4}
      - {split: french, weights: {canary: 10, guard: 90}, sticky_by: request.user}
"""

_SMALL = """\
                 ┌─────────┐
                 │ request │
                 └─────────┘
                      │
                      ▼
                 ┏━━━━━━━━━┓
                 ┃   llm   ┃
                 ┃   llm   ┃
                 ┃  answer ┃
                 ┗━━━━━━━━━┛
          ┌───────────┴───────────┐
          ▼                       ▼
┌───────────────────┐   ┌───────────────────┐
│       grader      │   │       other       │
│       grader      │   │       grader      │
│ attached as grade │   │ attached as other │
│        soft       │   └───────────────────┘
└───────────────────┘
"""


def _parse(text: str) -> Pipeline:
    return parse_pipeline(dedent(text), "p.yaml", {})


@pytest.mark.parametrize("draw", [to_text, to_mermaid, to_dot, to_svg])
def test_drawing_shows_all_that_a_pipeline_says(draw: Callable[[Pipeline], str]) -> None:
    """Kinds, models, conditions, weights, loops, the answer, attached names, soft nodes and stand-ins."""
    shown = draw(_parse(_EVERYTHING))
    for words in ("request", "detect", "big", "else", "10 %", "at most 4 times", "answer", "attached as grade"):
        assert words in shown
    for words in ("soft", "spare", "request.user"):
        assert words in shown


def test_drawing_in_the_terminal_is_of_boxes_and_lines() -> None:
    """The whole picture of a small pipeline."""
    pipeline = _parse("""
        opea_micro_services:
          llm: {endpoint: 'http://a:1/'}
          grader: {endpoint: 'http://a:2/', dependency: soft, attach: {as: grade}}
          other: {endpoint: 'http://a:3/', service_type: grader, attach: {as: other}}
        opea_mega_service: {mega_flow: ["llm >> (grader, other)"]}
    """)
    assert to_text(pipeline) == _SMALL


def test_drawing_in_the_terminal_has_an_ascii_form() -> None:
    """For terminals and logs that know nothing else."""
    assert to_text(_parse(_EVERYTHING), ascii_only=True).isascii()


@pytest.mark.parametrize("count", [1, 4, 9, 30])
def test_drawing_in_the_terminal_keeps_to_its_width(count: int) -> None:
    """Boxes get narrower; where they cannot, there is a list."""
    nodes = "\n".join(f"  grader_number_{n}: {{endpoint: 'http://a:{n + 2}/'}}" for n in range(count))
    names = ", ".join(f"grader_number_{n}" for n in range(count))
    text = f"opea_micro_services:\n  llm: {{endpoint: 'http://a:1/'}}\n{nodes}\n"
    pipeline = _parse(text + f"opea_mega_service: {{mega_flow: ['llm >> ({names})']}}\n")
    shown = to_text(pipeline)
    assert max(len(line) for line in shown.splitlines()) <= 80
    assert all(f"grader_number_{n}"[:7] in shown for n in range(count))


def test_drawing_in_the_terminal_shows_in_full_what_has_no_room() -> None:
    """A long condition is cut at its edge, and told below."""
    condition = "request.customer.language == 'italian' && request.customer.tier == 'gold'"
    pipeline = _parse(f"""
        opea_micro_services: {{llm: {{endpoint: 'http://a:1/'}}, other: {{endpoint: 'http://a:2/'}}}}
        opea_mega_service:
          mega_flow: [{{switch: request, cases: [{{when: "{condition}", to: llm}}, {{to: other}}]}}]
    """)
    shown = to_text(pipeline)
    assert f"request to llm: {condition}" in " ".join(shown.split())
    assert max(len(line) for line in shown.splitlines()) <= 80


def test_drawing_as_svg_is_well_formed_and_escapes_texts() -> None:
    """Every node is a box with its name; nothing of a file is read as markup."""
    root = ET.fromstring(to_svg(_parse(_EVERYTHING)))  # noqa: S314 - our own text
    texts = {"".join(element.itertext()) for element in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"detect", "italian", "guard", 'llm · big <model> & "co"'} <= texts
    assert "prefers-color-scheme:dark" in to_svg(_parse(_EVERYTHING))


def test_drawing_as_mermaid_and_dot_escapes_texts() -> None:
    """Quotes and angle brackets do not end a label."""
    pipeline = _parse(_EVERYTHING)
    assert "big #60;model#62; #38; #34;co#34;" in to_mermaid(pipeline)
    assert r"big <model> & \"co\"" in to_dot(pipeline)


def test_drawing_is_the_same_every_time() -> None:
    """It does not depend on hashing, so that a picture in a document changes with its pipeline only."""
    assert {to_svg(_parse(_EVERYTHING)) for _ in range(3)} == {to_svg(_parse(_EVERYTHING))}
