"""Shapes of loops, choices and guards, and what each of them does.

A fake LLM writes `name(<texts of the nodes before it>)`, in a loop `name<attempt>(...)`; a fake grader gives 1.0 unless
its play says otherwise.
"""

from __future__ import annotations

import pytest

from tests.support.control_shapes import GONE, SKIP, F, S, Shape, check_in_json_mode, check_in_stream_mode
from tests.support.fake_nodes import Play

FAILS = Play(fails=True)
GUARD = {"service_type": "guard", "consume": "sentence", "deny": ["bad"]}
LOOP = {"repeat": ["a", "grade"], "until": "grade.score >= `0.8`", "max": 3}
SHOWN = {**LOOP, "stream": "all"}

SHAPES = {
    # ------------------------------------------------------------------------------------------------------ loops
    "loop-accepted-at-once": Shape(["a >> grade", LOOP], ["a", "grade"], "a1()", {"grade": 1.0}, attempts=1),
    "loop-accepted-at-the-second": Shape(
        ["a >> grade", LOOP],
        ["a", "grade"] * 2,
        "a2()",
        {"grade": 0.9},
        attempts=2,
        plays={"grade": Play(scores=(0.1, 0.9))},
    ),
    "loop-that-is-never-accepted-ends": Shape(
        ["a >> grade", LOOP],
        ["a", "grade"] * 3,
        "a3()",
        {"grade": 0.3},
        attempts=3,
        plays={"grade": Play(scores=(0.1, 0.2, 0.3))},
    ),
    "loop-of-one-attempt": Shape(
        ["a >> grade", {**LOOP, "max": 1}],
        ["a", "grade"],
        "a1()",
        {"grade": 0.1},
        attempts=1,
        plays={"grade": Play(scores=(0.1,))},
    ),
    "loop-with-nodes-around-it": Shape(
        ["b >> a >> grade >> c", LOOP],
        ["b", *["a", "grade"] * 2, "c"],
        "c(b(),a2(b()))",
        attempts=2,
        plays={"grade": Play(scores=(0.1, 0.9))},
    ),
    "loop-shown-whole": Shape(
        ["a >> grade", SHOWN],
        ["a", "grade"] * 2,
        "a2()",
        {"grade": 0.9},
        attempts=2,
        streamed="a1()a2()",
        plays={"grade": Play(scores=(0.1, 0.9))},
    ),
    "loop-whose-soft-grader-fails-tries-to-the-end": Shape(
        ["a >> grade", LOOP],
        ["a", "grade"] * 3,
        "a3()",
        {"grade": "upstream_error"},
        attempts=3,
        plays={"grade": FAILS},
        soft=["grade"],
        statuses={"a": S, "grade": F},
    ),
    "loop-that-fails-in-its-second-attempt": Shape(
        ["a >> grade", LOOP],
        ["a", "grade", "a"],
        None,
        error="node 'a' broke",
        plays={"a": Play(fails_in_attempt=2), "grade": Play(scores=(0.1,))},
        statuses={"a": F, "grade": GONE},
    ),
    "loop-whose-grader-fails-in-its-second-attempt": Shape(
        ["a >> grade", LOOP],
        ["a", "grade"] * 2,
        None,
        error="node 'grade' broke",
        plays={"grade": Play(scores=(0.1,), fails_in_attempt=2)},
        statuses={"a": S, "grade": F},
    ),
    "loop-whose-condition-cannot-be-evaluated": Shape(
        ["a >> grade", {**LOOP, "until": "length(grade.score)"}],
        ["a", "grade"],
        None,
        error=r"loop of 'a', 'grade', 'until': 'length\(grade.score\)' cannot be evaluated",
        statuses={},
    ),
    "loop-in-a-branch-that-is-not-taken": Shape(
        [{"switch": "request", "cases": [{"when": "request.deep", "to": "a"}, {"to": "b"}]}, "a >> grade", LOOP],
        ["b"],
        "b()",
        statuses={"a": SKIP, "grade": SKIP, "b": S},
    ),
    "loop-in-a-branch-that-is-taken": Shape(
        [{"switch": "request", "cases": [{"when": "request.deep", "to": "a"}, {"to": "b"}]}, "a >> grade", LOOP],
        ["a", "grade"] * 2,
        "a2()",
        {"grade": 0.9},
        request={"deep": True},
        attempts=2,
        plays={"grade": Play(scores=(0.1, 0.9))},
        statuses={"a": S, "b": SKIP},
    ),
    "condition-inside-a-loop": Shape(
        [{"flow": "a >> grade", "when": "attempt > `1`"}, LOOP],
        ["a", "a", "grade"],
        "a2()",
        {"grade": 0.9},
        attempts=2,
        plays={"grade": Play(scores=(0.9,))},
    ),
    "guard-in-a-loop-that-reads-a-stream-from-outside": Shape(
        ["a >> guard >> grade", {"repeat": ["guard", "grade"], "until": "grade.score >= `0.8`"}],
        ["a", "grade", "grade"],
        "Fine.",
        {"grade": 0.9},
        attempts=2,
        plays={"a": Play(says="Fine."), "grade": Play(scores=(0.1, 0.9))},
        fields={"guard": GUARD},
    ),
    "guard-behind-a-loop": Shape(
        ["a >> grade", "a >> guard", LOOP],
        ["a", "grade"] * 2,
        "a2()",
        {"grade": 0.9},
        attempts=2,
        plays={"grade": Play(scores=(0.1, 0.9))},
        fields={"guard": GUARD},
    ),
    # ---------------------------------------------------------------------------------------------------- choices
    "best-of-two": Shape(
        ["a >> grade1", "b >> grade2", "(grade1, grade2) >> best"],
        ["a", "b", "grade1", "grade2"],
        "b()",
        plays={"grade1": Play(scores=(0.4,)), "grade2": Play(scores=(0.6,))},
        fields={
            "best": {
                "service_type": "select",
                "inputs": {"candidates": "[{text: a.text, score: grade1.score}, {text: b.text, score: grade2.score}]"},
                "best": "max_by(candidates, &score)",
            }
        },
    ),
    "best-without-those-that-failed": Shape(
        ["(a, b) >> best"],
        ["a", "b"],
        "b()",
        plays={"a": FAILS},
        soft=["a"],
        statuses={"a": F, "best": S},
        fields={"best": {"service_type": "select", "inputs": {"candidates": "[a, b]"}}},
    ),
    "best-of-none": Shape(
        ["(a, b) >> best"],
        ["a", "b"],
        None,
        plays={"a": FAILS, "b": FAILS},
        soft=["a", "b"],
        error="was skipped because no node before it succeeded",
        statuses={"best": SKIP},
        fields={"best": {"service_type": "select", "inputs": {"candidates": "[a, b]"}}},
    ),
    "best-that-cannot-be-told": Shape(
        ["(a, b) >> best"],
        ["a", "b"],
        None,
        error="node 'best', 'best': .* cannot be evaluated",
        statuses={"best": F},
        fields={
            "best": {
                "service_type": "select",
                "inputs": {"candidates": "[a, b]"},
                "best": "max_by(candidates, &score)",
            }
        },
    ),
    # ----------------------------------------------------------------------------------------------------- guards
    "guard-lets-through": Shape(
        ["a >> guard"], ["a"], "One. Two.", plays={"a": Play(says="One. Two.")}, fields={"guard": GUARD}
    ),
    "guard-cuts": Shape(
        ["a >> guard"],
        ["a"],
        "One. No.",
        plays={"a": Play(says="One. A bad one. Three.")},
        fields={"guard": {**GUARD, "message": "No."}},
        finish_reason="content_filter",
    ),
    "guard-cuts-without-a-word": Shape(
        ["a >> guard"],
        ["a"],
        "One.",
        plays={"a": Play(says="One. A bad one. Three.")},
        fields={"guard": GUARD},
        finish_reason="content_filter",
    ),
    "guard-cuts-all": Shape(
        ["a >> guard"],
        ["a"],
        "",
        plays={"a": Play(says="A bad one. Two.")},
        fields={"guard": GUARD},
        finish_reason="content_filter",
    ),
    "guard-replaces": Shape(
        ["a >> guard"],
        ["a"],
        "One. A *** one. Three.",
        plays={"a": Play(says="One. A bad one. Three.")},
        fields={"guard": {**GUARD, "replace": "***"}},
    ),
    "guard-of-the-whole": Shape(
        ["a >> guard"],
        ["a"],
        "No.",
        plays={"a": Play(says="One. A bad one. Three.")},
        fields={"guard": {**GUARD, "consume": "whole", "message": "No."}},
        finish_reason="content_filter",
    ),
    "guard-before-the-answer": Shape(
        ["guard >> a"],
        [],
        "No.",
        fields={"guard": {**GUARD, "consume": "whole", "deny": ["hi"], "message": "No."}},
        statuses={"guard": S, "a": SKIP},
        finish_reason="content_filter",
    ),
    "guard-that-cuts-keeps-what-is-behind-it-from-running": Shape(
        ["a >> guard >> grade"],
        ["a"],
        "",
        plays={"a": Play(says="A bad one.")},
        fields={"guard": GUARD},
        statuses={"guard": S, "grade": SKIP},
        finish_reason="content_filter",
    ),
}
TABLE = pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())


@TABLE
async def test_shape_in_json_mode(shape: Shape) -> None:
    """Who is asked, the answer, attached outputs or failure, as the table says."""
    await check_in_json_mode(shape)


@TABLE
async def test_shape_in_stream_mode(shape: Shape) -> None:
    """The same, with the answer as deltas and everything else in one last event."""
    await check_in_stream_mode(shape)
