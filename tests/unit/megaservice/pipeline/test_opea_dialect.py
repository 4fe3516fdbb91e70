"""OPEA's dialect: upstream's own files load unchanged, and what is wrong is said with place and remedy."""

from __future__ import annotations

from textwrap import dedent

import pytest

from megaservice.pipeline.loader import parse_pipeline
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.problems import PipelineError
from megaservice.pipeline.spec import Dependency, History, ServiceKind, SystemMessage

LLM = "  llm: {endpoint: http://127.0.0.1:1/v1/chat/completions}\n"


def _parse(text: str, file: str = "my_file.yaml") -> Pipeline:
    return parse_pipeline(dedent(text), file, {})


def _problems(text: str) -> list[str]:
    with pytest.raises(PipelineError) as caught:
        _parse(text, "p.yaml")
    return list(caught.value.problems)


# ----------------------------------------------------------------------------------------------- upstream's shape


def test_opea_file_of_upstreams_shape_loads_unchanged() -> None:
    """Bare endpoints, a port, and rules with groups: nothing of ours is needed."""
    pipeline = _parse("""
        opea_micro_services:
          s1:
            endpoint: http://fakehost:8081/v1/chat/completions
          s2:
            endpoint: http://fakehost:8082/v1/chat/completions
          s3: {endpoint: http://fakehost:8083/v1/chat/completions}
          s4: {endpoint: http://fakehost:8084/v1/chat/completions}
          s5: {endpoint: http://fakehost:8085/v1/chat/completions}
        opea_mega_service:
          host: 0.0.0.0
          port: 8000
          mega_flow:
            - (s1, s5) >> s2
            - s2 >> (s3, s4)
            - s3 >> s4
    """)
    assert pipeline.spec.name == "my-file"
    assert pipeline.dag.edges == (("s1", "s2"), ("s5", "s2"), ("s2", "s3"), ("s2", "s4"), ("s3", "s4"))
    assert pipeline.answer_node == "s4"
    assert {node.service_type for node in pipeline.spec.nodes.values()} == {ServiceKind.LLM}
    assert pipeline.spec.endpoints == ("/v1/my-file",)


@pytest.mark.parametrize("mega", ["", "opea_mega_service: {}", "opea_mega_service: {port: 8888}"])
def test_opea_file_without_a_flow_runs_its_nodes_side_by_side(mega: str) -> None:
    """`mega_flow` may be absent."""
    pipeline = _parse(f"opea_micro_services:\n{LLM}{mega}")
    assert pipeline.dag.edges == ()
    assert pipeline.dag.roots == ("llm",)


def test_opea_file_guesses_a_grader_by_its_name_alone() -> None:
    """Upstream's files name no type; an explicit one always wins."""
    pipeline = _parse("""
        opea_micro_services:
          llm: {endpoint: http://a:1/}
          grader: {endpoint: http://a:2/v1/grade}
          second_grader: {endpoint: http://a:3/, service_type: llm}
    """)
    kinds = {name: node.service_type for name, node in pipeline.spec.nodes.items()}
    assert kinds == {"llm": ServiceKind.LLM, "grader": ServiceKind.GRADER, "second_grader": ServiceKind.LLM}


def test_opea_file_defaults_are_hard_whole_and_append() -> None:
    """What a file does not say."""
    node = _parse(f"opea_micro_services:\n{LLM}").spec.nodes["llm"]
    assert node.dependency is Dependency.HARD
    assert node.prompt.history is History.WHOLE
    assert node.prompt.caller_system is SystemMessage.APPEND
    assert (node.model, node.parameters, node.inputs, node.attach) == (None, {}, {}, None)
    assert node.timeouts.connect_seconds == 5.0


def test_opea_file_attaches_leaves_under_their_own_names() -> None:
    """A leaf that is not the answer is attached; `attach` names it otherwise, also for a node in the middle."""
    pipeline = _parse("""
        opea_micro_services:
          first: {endpoint: http://a:1/, attach: {as: draft}}
          llm: {endpoint: http://a:2/}
          grader: {endpoint: http://a:3/}
          other_grader: {endpoint: http://a:4/, attach: {as: second, fields: [score]}}
        opea_mega_service:
          mega_flow: ["first >> llm >> (grader, other_grader)"]
    """)
    assert pipeline.answer_node == "llm"
    assert pipeline.attached == {"first": "draft", "grader": "grader", "other_grader": "second"}


# ------------------------------------------------------------------------------------------------------- problems


def _mega(rules: str) -> str:
    return f"opea_micro_services:\n{LLM}opea_mega_service:\n  mega_flow: {rules}\n"


def _node(fields: str) -> str:
    return f"opea_micro_services:\n  llm: {{endpoint: 'http://a:1/', {fields}}}\n"


_CASES = {
    "empty": ("", ["p.yaml:1:1: a pipeline file has the keys 'opea_micro_services' and 'opea_mega_service'."]),
    "list": ("- a\n", ["p.yaml:1:1: a pipeline file has the keys"]),
    "no-nodes": ("opea_mega_service: {}\n", ["p.yaml:1:1: 'opea_micro_services' needs at least one microservice."]),
    "unknown-section": (
        f"opea_micro_service:\n{LLM}",
        [
            "p.yaml:1:1: 'opea_micro_services' needs at least one",
            "p.yaml:1:1: the key 'opea_micro_service' is not known here. Did you mean 'opea_micro_services'?",
        ],
    ),
    "no-endpoint": (
        "opea_micro_services:\n  llm: {model: x}\n",
        ["p.yaml:2:3: 'endpoint' is missing; write 'endpoint: http://host:port/path'."],
    ),
    "node-is-text": (
        "opea_micro_services:\n  llm: http://a:1/\n",
        ["p.yaml:2:3: node 'llm' must be a mapping with at least an 'endpoint'."],
    ),
    "endpoint-no-url": (
        "opea_micro_services:\n  llm:\n    endpoint: localhost:9000\n",
        ["p.yaml:3:5: 'endpoint': 'localhost:9000' is no URL; write one such as http://host:port/path."],
    ),
    "endpoint-binds-all": (
        "opea_micro_services:\n  llm:\n    endpoint: http://0.0.0.0:9000/\n",
        ["p.yaml:3:5: 'endpoint': 0.0.0.0 is an address to listen on, not one to call; write 127.0.0.1 or the host."],
    ),
    "unknown-field": (
        _node("timeout: 3"),
        ["p.yaml:2:34: the key 'timeout' is not known here. Did you mean 'timeouts'?"],
    ),
    "key-is-number": (
        "opea_micro_services:\n  llm: {endpoint: 'http://a:1/', 3: x}\n",
        ["p.yaml:2:34: the key '3' is not known here. The keys are service_type,"],
    ),
    "key-is-null": (
        "opea_micro_services:\n  llm: {endpoint: 'http://a:1/', ~: x}\n",
        ["the key 'None' is not known here. The keys are service_type,"],
    ),
    "unknown-nested-field": (
        _node("prompt: {sistem: x}"),
        ["p.yaml:2:43: the key 'sistem' is not known here. Did you mean 'system'?"],
    ),
    "unlike-any-field": (_node("zzz: 3"), ["the key 'zzz' is not known here. The keys are service_type, endpoint,"]),
    "bad-kind": (
        _node("service_type: lmm"),
        [
            "p.yaml:2:34: 'service_type': expected 'llm', 'grader', 'text', 'json', 'guard' or 'select', found 'lmm'."
            " Did you mean 'llm'?"
        ],
    ),
    "bad-timeout": (
        _node("timeouts: {idle_seconds: 0}"),
        ["p.yaml:2:45: 'idle_seconds'", "greater than 0", "found 0"],
    ),
    "bad-attach": (
        _node("attach: {as: 'a b'}"),
        ["'as': 'a b' is no field's name: letters, digits and '_', no digit first; write 'a_b'."],
    ),
    "bad-expression": (
        _node("inputs: {text: 'request.['}"),
        ["p.yaml:2:43: node 'llm': 'request.[' is not a JMESPath expression"],
    ),
    "unknown-in-flow": (
        _mega("[lm]"),
        [
            "p.yaml:2:3: node 'llm' is not in 'mega_flow'; add it there, or remove it.",
            "p.yaml:4:15: node 'lm' is not in 'opea_micro_services'. Did you mean 'llm'?",
        ],
    ),
    "bad-rule": (_mega("['llm >>']"), ["p.yaml:4:15: 'llm >>': a node's name was expected, found nothing."]),
    "rules-are-text": (_mega("llm"), ["p.yaml:4:3: 'mega_flow' must be a list of rules such as 'a >> b'."]),
    "mega-is-list": (
        f"opea_micro_services:\n{LLM}opea_mega_service: []\n",
        ["p.yaml:3:1: 'opea_mega_service' must be a mapping."],
    ),
    "cycle": (_mega("[llm >> llm]"), ["p.yaml:4:3: the flow has a cycle: llm >> llm. Remove one of its edges."]),
    "bad-path": (
        f"opea_micro_services:\n{LLM}opea_mega_service:\n  endpoints: [chat]\n",
        ["p.yaml:4:15: 'endpoints[0]': 'chat' is no path; write '/chat'."],
    ),
    "bad-name": (
        f"opea_micro_services:\n{LLM}opea_mega_service:\n  name: My Pipeline\n",
        ["p.yaml:4:3: 'name': 'My Pipeline' is no pipeline's name", "write 'my-pipeline'."],
    ),
    "no-text": (
        "opea_micro_services:\n  grader: {endpoint: http://a:1/}\n",
        ["p.yaml:1:1: no node produces the answer's text; a pipeline needs one of type 'llm'."],
    ),
    "attached-over-answer": (
        "opea_micro_services:\n"
        "  llm: {endpoint: http://a:1/}\n"
        "  grader: {endpoint: http://a:1/, attach: {as: usage}}\n",
        ["p.yaml:3:44: 'usage' is a field of the answer itself; choose another name."],
    ),
    "attached-twice": (
        "opea_micro_services:\n"
        "  llm: {endpoint: http://a:1/}\n"
        "  grader: {endpoint: http://a:1/}\n"
        "  other: {service_type: grader, endpoint: http://a:1/, attach: {as: grader}}\n",
        ["p.yaml:4:65: nodes 'grader' and 'other' are both attached as 'grader'."],
    ),
}


@pytest.mark.parametrize(("text", "expected"), _CASES.values(), ids=_CASES.keys())
def test_opea_file_that_is_wrong_says_where_and_what_to_write(text: str, expected: list[str]) -> None:
    """Each problem has file, line and column, what was found, and the remedy."""
    shown = "\n".join(_problems(text))
    for words in expected:
        assert words in shown
    assert all(line.startswith("p.yaml:") for line in _problems(text))


def test_opea_file_reports_all_problems_at_once_in_the_order_of_the_file() -> None:
    """One run shows everything that is to be corrected."""
    problems = _problems("""\
        opea_micro_services:
          llm: {endpoint: nowhere, modle: x}
          unused: {endpoint: 'http://a:${UNSET_PORT}/'}
        opea_mega_service:
          flow: []
          mega_flow:
            - llm >> grader
            - (a
    """)
    assert [problem.split(": ", 1)[0] for problem in problems] == [
        "p.yaml:2:9",
        "p.yaml:2:28",
        "p.yaml:3:12",
        "p.yaml:5:3",
        "p.yaml:7:7",
        "p.yaml:8:7",
    ]


def test_opea_file_with_a_broken_rule_does_not_call_its_nodes_unused() -> None:
    """A rule that could not be read may use the node that seems unused."""
    assert len(_problems(_mega("['llm >> (']"))) == 1
