"""Shapes of branches, and what each of them does: conditions, switches, splits.

A fake LLM writes `name(<texts of the nodes before it>)`; a fake grader gives 1.0.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.control_shapes import SKIP, F, S, Shape, check_in_json_mode, check_in_stream_mode
from tests.support.fake_nodes import Play

FAILS = Play(fails=True)
SLOW = Play(delay_seconds=0.02)
ITALIAN = {"language": "it"}
SWITCH = {"switch": "request", "cases": [{"when": "request.language == 'it'", "to": "b"}, {"to": "c"}]}
NO_DEFAULT = {"switch": "request", "cases": [{"when": "request.language == 'it'", "to": "b"}]}
BEHIND = {"switch": "a", "cases": [{"when": "contains(a.text, 'x')", "to": ["b", "c"]}, {"to": "d"}]}
SPLIT = {"split": "request", "weights": {"b": 90, "c": 10}}


def _when(condition: str, flow: str = "a >> b") -> dict[str, Any]:
    return {"flow": flow, "when": condition}


SHAPES = {
    # ------------------------------------------------------------------------------------------------- conditions
    "edge-that-is-there": Shape([_when("a.text")], ["a", "b"], "b(a())"),
    "edge-that-is-not-there-leaves-the-text-before": Shape(
        [_when("a.missing")], ["a"], "a()", statuses={"a": S, "b": SKIP}
    ),
    "edge-by-the-request": Shape([_when("request.deep")], ["a", "b"], "b(a())", request={"deep": True}),
    "one-of-two-edges": Shape(["a >> c", _when("request.no", "b >> c")], ["a", "b", "c"], "c(a(),b())"),
    "condition-sees-all-before-its-target": Shape(
        [_when("a.text && b.text", "(a, b) >> c")], ["a", "b", "c"], "c(a(),b())", plays={"b": SLOW}
    ),
    "edge-from-the-request": Shape(
        [_when("request.no", "request >> a"), "a >> c", "b >> c"], ["b", "c"], "c(b())", statuses={"a": SKIP, "c": S}
    ),
    "chain-of-conditional-edges": Shape(
        [_when("request.no", "a >> b >> c")], ["a"], "a()", statuses={"a": S, "b": SKIP, "c": SKIP}
    ),
    "grade-only-where-it-is-asked-for": Shape([_when("request.grade", "a >> grade")], ["a"], "a()"),
    "conditional-grade": Shape(
        [_when("request.grade", "a >> grade")], ["a", "grade"], "a()", {"grade": 1.0}, request={"grade": True}
    ),
    "node-with-a-condition": Shape(
        ["a >> b >> c", "a >> c"], ["a", "c"], "c(a())", fields={"b": {"when": "request.deep"}}, statuses={"b": SKIP}
    ),
    "root-with-a-condition": Shape(
        ["(a, b) >> c"], ["b", "c"], "c(b())", fields={"a": {"when": "request.deep"}}, statuses={"a": SKIP}
    ),
    "condition-that-cannot-be-evaluated": Shape(
        [_when("length(`1`) > `0`")],
        ["a"],
        None,
        error=r"edge 'a >> b', 'when': 'length\(`1`\) > `0`' cannot be evaluated: .*type\(",
        statuses={"a": S, "b": F},
    ),
    "condition-of-a-soft-node-that-cannot-be-evaluated": Shape(
        ["a >> grade"],
        ["a"],
        "a()",
        {"grade": "internal_error"},
        fields={"grade": {"when": "length(`1`) > `0`"}},
        soft=["grade"],
        statuses={"a": S, "grade": F},
    ),
    "soft-failure-closes-the-edge-whatever-the-condition-says": Shape(
        [_when("`true`", "a >> c"), "b >> c"],
        ["a", "b", "c"],
        "c(b())",
        plays={"a": FAILS},
        soft=["a"],
        statuses={"a": F, "b": S, "c": S},
    ),
    # --------------------------------------------------------------------------------------------------- switches
    "switch-first-case": Shape([SWITCH], ["b"], "b()", request=ITALIAN, statuses={"b": S, "c": SKIP}),
    "switch-default": Shape([SWITCH], ["c"], "c()", statuses={"b": SKIP, "c": S}),
    "switch-without-a-case": Shape(
        [NO_DEFAULT], [], None, error="No condition of pipeline 'shape' let a node answer", statuses={"b": SKIP}
    ),
    "switch-on-a-node-takes-several": Shape(
        [BEHIND], ["a", "b", "c"], "c(x)", {}, plays={"a": Play(says="x")}, statuses={"b": S, "c": S, "d": SKIP}
    ),
    "switch-on-a-node-takes-the-default": Shape(
        [BEHIND], ["a", "d"], "d(a())", statuses={"b": SKIP, "c": SKIP, "d": S}
    ),
    "branches-of-a-switch-meet-again": Shape(
        [SWITCH, "(b, c) >> d"], ["c", "d"], "d(c())", statuses={"b": SKIP, "c": S, "d": S}
    ),
    "skipping-goes-on-down-a-branch": Shape(
        [SWITCH, "b >> d >> grade1", "c >> grade2"],
        ["c", "grade2"],
        "c()",
        {"grade2": 1.0},
        statuses={"b": SKIP, "d": SKIP, "grade1": SKIP},
    ),
    "sure-branch-stands-back-behind-a-conditional-one": Shape(
        ["a", _when("request.language", "request >> b")], ["a", "b"], "b()", {}, request=ITALIAN
    ),
    "sure-branch-answers-where-the-conditional-one-does-not": Shape(
        ["a", _when("request.language", "request >> b")], ["a"], "a()", statuses={"a": S, "b": SKIP}
    ),
    # ----------------------------------------------------------------------------------------------------- splits
    "split-takes-the-first": Shape([SPLIT], ["b"], "b()", share=0.89, statuses={"c": SKIP}),
    "split-takes-the-second": Shape([SPLIT], ["c"], "c()", share=0.91, statuses={"b": SKIP}),
    "split-behind-a-node": Shape([{**SPLIT, "split": "a"}], ["a", "c"], "c(a())", share=0.95, statuses={"b": SKIP}),
}
TABLE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


@TABLE
async def test_branches_in_json_mode(shape: Shape) -> None:
    """Who is asked, the answer, attached outputs or failure, as the table says."""
    await check_in_json_mode(shape)


@TABLE
async def test_branches_in_stream_mode(shape: Shape) -> None:
    """The same, with the answer as deltas and everything else in one last event."""
    await check_in_stream_mode(shape)
