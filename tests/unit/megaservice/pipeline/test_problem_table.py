"""Every kind of problem: one row each, with the file, the place and what is said."""

from __future__ import annotations

from textwrap import dedent

import pytest

from megaservice.pipeline.loader import read_pipeline

#: Four nodes; a row replaces the flow, or adds to a node.
_FILE = """\
opea_micro_services:
  llm: {endpoint: 'http://a:1/v1', LLM}
  other: {endpoint: 'http://b:1/v1', OTHER}
  grader: {endpoint: 'http://c:1/v1', GRADER}
opea_mega_service:
  mega_flow:
FLOW
"""
_FLOW = "- llm >> (other, grader)"
#: Where the flow begins.
_LINE = 7


def _problems(text: str, variables: dict[str, str] | None = None) -> list[str]:
    reading = read_pipeline(text, "p.yaml", variables or {})
    assert (reading.pipeline is None) == bool(reading.problems)
    return [str(problem).removeprefix("p.yaml:") for problem in reading.problems]


def _file(*, flow: str = _FLOW, **nodes: str) -> str:
    text = _FILE.replace("FLOW", "\n".join(f"    {line}" for line in dedent(flow).strip("\n").splitlines()))
    for name in ("LLM", "OTHER", "GRADER"):
        text = text.replace(f", {name}}}", f", {nodes[name.lower()]}}}" if name.lower() in nodes else "}")
    return text


_LOOP = "- llm >> other >> grader"

_ROWS = {
    # ------------------------------------------------------------------------------------------ names and edges
    "unknown-node": (
        _file(flow="- llm >> (other, grader)\n- llm >> gradr"),
        "8:7: node 'gradr' is not in 'opea_micro_services'. Did you mean 'grader'?",
    ),
    "cycle": (
        _file(flow="- llm >> other >> grader >> other"),
        "6:3: the flow has a cycle: other >> grader >> other. Remove one of its edges.",
    ),
    "cycle-through-a-switch": (
        _file(flow="- llm >> other >> grader\n- {switch: other, cases: [{to: llm}]}"),
        "6:3: the flow has a cycle: llm >> other >> llm. Remove one of its edges.",
    ),
    "unused-node": (
        _file(flow="- llm >> grader"),
        "3:3: node 'other' is not in 'mega_flow'; add it there, or remove it.",
    ),
    "reserved-name": (
        "opea_micro_services:\n  request: {endpoint: 'http://a:1/'}\n",
        "2:3: 'request' has a meaning of its own in expressions; give the node another name.",
    ),
    "request-without-condition": (
        _file(flow="- request >> llm >> (other, grader)"),
        "7:7: 'request' stands only before edges with a condition; a node with nothing before it is a rule alone.",
    ),
    "edge-twice": (
        _file(flow=f"{_FLOW}\n- {{flow: llm >> other, when: llm.text}}"),
        "8:7: the edge 'llm >> other' is there without a condition too, so this has no effect; remove one of them.",
    ),
    # ------------------------------------------------------------------------------------------------- parameters
    "parameter-that-is-a-slip": (
        _file(llm="parameters: {temperatur: 0}"),
        "2:49: node 'llm': the parameter 'temperatur' is not known. Did you mean 'temperature'?",
    ),
    "parameter-of-a-wrong-type": (
        _file(llm="parameters: {temperature: hot}"),
        "2:49: node 'llm': temperature: expected a valid number, found \"hot\".",
    ),
    "parameter-out-of-range": (
        _file(llm="parameters: {top_p: 9}"),
        "2:49: node 'llm': top_p: expected less than or equal to 1, found 9.",
    ),
    "parameter-that-is-the-request-s": (
        _file(llm="parameters: {stream: true}"),
        "2:49: node 'llm': 'stream' is no parameter of a model; each request says it itself. Leave it out.",
    ),
    # -------------------------------------------------------------------------------------- variables and places
    "unset-variable": (
        _file(llm="model: '${NOPE}'"),
        "2:36: the variable NOPE is not set; set it, or write ${NOPE:-default}.",
    ),
    "listening-address": (
        _file(llm="replicas: ['http://0.0.0.0:2/']"),
        "2:47: 'replicas[0]': 0.0.0.0 is an address to listen on, not one to call; write 127.0.0.1 or the host.",
    ),
    "one-url-of-two-kinds": (
        _file(llm="replicas: ['http://c:1/v1']"),
        "4:12: node 'grader' (a grader) is at c:1, where 'llm' (a llm) is already; give each its own port.",
    ),
    "gateway-itself": (
        _file(other="replicas: ['http://localhost:8000/v1']"),
        "3:49: node 'other' calls http://localhost:8000/v1, and port 8000 is the gateway's own; write the port of the"
        " service itself.",
    ),
    "unknown-key": (_file(llm="modell: x"), "2:36: the key 'modell' is not known here. Did you mean 'model'?"),
    "key-of-another-kind": (
        _file(grader="prompt: {system: x}"),
        "4:39: node 'grader' is a grader, which has no use for 'prompt'; only 'llm' has. Remove it.",
    ),
    # ------------------------------------------------------------------------------------ expressions and templates
    "bad-expression": (
        _file(other="inputs: {text: 'llm.['}"),
        "3:47: node 'other': 'llm.[' is not a JMESPath expression: Invalid jmespath expression: Incomplete expression",
    ),
    "bad-quote": (
        _file(other='when: "llm.text == \'x"'),
        "3:38: node 'other': 'llm.text == 'x' is not a JMESPath expression: Bad jmespath expression: Unclosed '"
        " delimiter at column 12.",
    ),
    "unknown-function": (
        _file(other="when: jion(llm.text)"),
        "3:38: node 'other': 'jion' is no function of JMESPath. Did you mean 'join'?",
    ),
    "bad-template": (
        _file(other='prompt: {user: "a\\n{% if %}"}'),
        "3:47: node 'other': the template is not Jinja2: Expected an expression, got 'end of statement block'"
        " (line 2 of the template).",
    ),
    "template-names-nothing": (
        _file(other="prompt: {user: '{{ lmm.text }}'}"),
        "3:47: node 'other': '{{ lmm.text }}' begins with 'lmm', which is neither 'request' nor a node before this one."
        " Did you mean 'llm'?",
    ),
    "template-outside-a-loop": (
        _file(other="prompt: {system: '{{ previous.llm.text }}'}"),
        "3:47: node 'other': '{{ previous.llm.text }}' asks for 'previous', which is there in loops only; put the node"
        " into a 'repeat', or take another.",
    ),
    "field-of-a-grade": (
        _file(flow="- llm >> grader >> other", other="inputs: {text: grader.feedbck}"),
        "3:47: node 'other': 'grader.feedbck' asks for 'feedbck' of 'grader', which has no such field. Did you mean"
        " 'feedback'?",
    ),
    "field-of-an-llm": (
        _file(other="inputs: {text: llm.txt}"),
        "3:47: node 'other': 'llm.txt' asks for 'txt' of 'llm', which no LLM answers. Did you mean 'text'?",
    ),
    "field-of-mapped-outputs": (
        _file(flow="- llm >> grader >> other", grader="outputs: {mark: score}", other="inputs: {text: grader.score}"),
        "3:47: node 'other': 'grader.score' asks for 'score' of 'grader', which has no such field. It has 'mark' or"
        " 'error'.",
    ),
    "output-of-nothing": (
        _file(grader="outputs: {mark: scor}"),
        "4:49: node 'grader': 'scor' begins with 'scor', which the output does not have. Did you mean 'score'?",
    ),
    "node-behind": (
        _file(llm="inputs: {text: other.text}"),
        "2:45: node 'llm': 'other.text' asks for the output of 'other', which is not before this node; let the flow"
        " lead from 'other' to 'llm', or take another.",
    ),
    "bad-pattern": (
        _file(other="service_type: guard, deny: ['(']"),
        "3:66: node 'other': '(' is no regular expression of RE2: missing ): (.",
    ),
    # ----------------------------------------------------------------------------------------- answers and streams
    "attached-twice": (
        _file(grader="attach: {as: x}", other="service_type: grader, attach: {as: x}"),
        "4:48: nodes 'other' and 'grader' are both attached as 'x'.",
    ),
    "attached-field": (
        _file(grader="attach: {as: x, fields: [scor]}"),
        "4:64: the output of a grader has no 'scor'. Did you mean 'score'?",
    ),
    "attached-as-attempts": (
        _file(flow=f"{_LOOP}\n- {{repeat: [llm, other], until: other.text}}", grader="attach: {as: attempts}"),
        "4:48: 'attempts' is a field of the answer itself; choose another name.",
    ),
    "stream-into-an-llm": (
        _file(other="consume: stream"),
        "3:38: node 'other': a llm takes a text as a whole; only guard, text can do more.",
    ),
    "stream-of-a-grade": (
        _file(flow="- llm >> grader >> other", other="service_type: text, consume: sentence"),
        "3:58: node 'other' takes a stream piece by piece, and 'grader' before it is a grader, which has no text; write"
        " 'consume: whole'.",
    ),
    # --------------------------------------------------------------------------------------------------- switches
    "unknown-rule": (
        _file(flow=f"{_FLOW}\n- {{swich: llm, cases: []}}"),
        "8:8: a rule is 'a >> b', or a mapping with the key 'flow', 'switch', 'split' or 'repeat'; found swich, cases."
        " Did you mean 'switch'?",
    ),
    "switch-default-first": (
        _file(flow="- llm\n- {switch: llm, cases: [{to: other}, {when: llm.text, to: grader}]}"),
        "8:29: a case without 'when' always holds, so those after it are never taken; move it to the end.",
    ),
    "switch-to-nobody": (
        _file(flow=f"{_FLOW}\n- {{switch: llm, cases: [{{to: othr}}]}}"),
        "8:30: node 'othr' is not in 'opea_micro_services'. Did you mean 'other'?",
    ),
    "switch-key": (
        _file(flow="- llm >> grader\n- {switch: llm, cases: [{wen: llm.text, to: other}]}"),
        "8:30: the key 'wen' is not known here. Did you mean 'when'?",
    ),
    "switch-on-a-later-node": (
        _file(flow="- llm >> grader\n- {switch: llm, cases: [{when: grader.score, to: other}]}"),
        "8:30: switch on 'llm': 'grader.score' asks for the output of 'grader', which is not before this rule; take"
        " another.",
    ),
    "condition-without-edge": (
        _file(flow=f"{_FLOW}\n- {{flow: llm, when: llm.text}}"),
        "8:8: 'flow': 'llm' has no edge that the condition could be about; write 'a >> b'.",
    ),
    # ---------------------------------------------------------------------------------------------------- weights
    "weights-all-zero": (
        _file(flow="- llm >> grader\n- {split: llm, weights: {other: 0}}"),
        "8:20: 'weights': all weights are 0; give at least one node more.",
    ),
    "weight-negative": (
        _file(flow="- llm >> grader\n- {split: llm, weights: {other: -1}}"),
        "8:30: 'other': expected a number of at least 0, found -1.",
    ),
    "sticky-by-a-node": (
        _file(flow="- llm >> grader\n- {split: llm, weights: {other: 1}, sticky_by: llm.id}"),
        "8:41: split of 'llm': 'llm.id' asks for the output of 'llm', which is not before this rule; take another.",
    ),
    # ------------------------------------------------------------------------------------------------------ loops
    "loop-not-connected": (
        _file(flow="- llm >> other\n- grader\n- {repeat: [llm, grader], until: grader.score}"),
        "9:8: the nodes of a loop must be connected, and nothing leads from or to 'grader' within it; add an edge, or"
        " take it out.",
    ),
    "loop-with-a-detour": (
        _file(flow="- llm >> other >> grader\n- llm >> grader\n- {repeat: [llm, grader], until: grader.score}"),
        "9:8: node 'other' lies between nodes of the loop and is not in it; add it to 'repeat'.",
    ),
    "loop-until-outside": (
        _file(flow=f"{_LOOP}\n- {{repeat: [llm, other], until: grader.score}}"),
        "8:30: loop of llm, other: 'grader.score' asks for the output of 'grader', which is not before this rule; take"
        " another.",
    ),
    "loop-until-never-changes": (
        _file(flow=f"{_LOOP}\n- {{repeat: [llm, other], until: request.x}}"),
        "8:30: 'request.x' looks at no node of the loop, so it never changes; name one of llm, other.",
    ),
    "loop-max": (
        _file(flow=f"{_LOOP}\n- {{repeat: [llm, other], until: other.text, max: 21}}"),
        "8:49: 'max': expected a number of at most 20, found 21.",
    ),
    "loops-share-a-node": (
        _file(
            flow=f"{_LOOP}\n- {{repeat: [llm, other], until: other.text}}\n"
            "- {repeat: [other, grader], until: grader.score}"
        ),
        "9:8: node 'other' is in two loops; let it be in one.",
    ),
    "previous-of-an-outsider": (
        _file(
            flow=f"{_LOOP}\n- {{repeat: [llm, other], until: other.text}}",
            llm="inputs: {text: previous.grader.feedback}",
        ),
        "2:45: node 'llm': 'previous.grader.feedback' asks for 'grader' of the attempt before, which is no node of the"
        " loop. It has 'llm' or 'other'.",
    ),
    # ---------------------------------------------------------------------------------------------------- dialects
    "unknown-dialect": (
        "services: {llm: {image: x}}\n",
        "1:1: the keys services are of no dialect: a pipeline file has 'opea_micro_services' (with"
        " 'opea_mega_service'), 'micro_services' (with 'mega_service'), or 'kind: GMConnector'.",
    ),
}


@pytest.mark.parametrize(("text", "expected"), _ROWS.values(), ids=_ROWS.keys())
def test_problem_is_named_with_place_and_remedy(text: str, expected: str) -> None:
    """One mistake, one problem, at its line and column."""
    assert [problem for problem in _problems(text) if not problem.startswith(expected)] == []
    assert _problems(text)


def test_table_begins_with_a_file_that_is_right() -> None:
    """Each row is wrong by what it adds alone."""
    assert _problems(_file()) == []
    assert _problems(_file(flow=_LOOP)) == []


def test_gateways_own_port_is_the_one_that_is_set() -> None:
    """As `MEGA_SERVICE_PORT` says."""
    text = _file(other="replicas: ['http://127.0.0.1:8000/v1']")
    assert _problems(text, {"MEGA_SERVICE_PORT": "8001"}) == []
    assert "port 8001 is the gateway's own" in "".join(
        _problems(text.replace("8000", "8001"), {"MEGA_SERVICE_PORT": "8001"})
    )


def test_services_of_two_kinds_at_one_port_and_other_paths_are_noted() -> None:
    """One server may have several services; it may be a slip too."""
    reading = read_pipeline(_file(llm="replicas: ['http://c:1/v2']"), "p.yaml", {})
    assert [str(note) for note in reading.notes] == [
        "p.yaml:4:12: node 'grader' (a grader) is at c:1, where 'llm' (a llm) is already, at another path."
    ]


def test_branches_that_no_run_takes_are_noted() -> None:
    """They are no mistake: a canary that is switched off, a switch that leaves some requests out."""
    flow = "- {split: llm, weights: {other: 1, grader: 0}}\n- {switch: request, cases: [{when: request.x, to: llm}]}"
    reading = read_pipeline(_file(flow=flow), "p.yaml", {})
    assert reading.pipeline is not None
    assert [str(note).removeprefix("p.yaml:") for note in reading.notes] == [
        "7:40: 'grader' has the weight 0, so it is never taken.",
        "8:25: where no case holds, none of these nodes runs; a case without 'when' would be the default.",
    ]
