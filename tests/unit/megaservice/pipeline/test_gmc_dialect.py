"""The connector's dialect: routers become edges, switches and nodes side by side, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent, indent

import pytest

from megaservice.pipeline.control import CaseSpec, ConditionRule, SwitchRule
from megaservice.pipeline.conversion import convert
from megaservice.pipeline.dialects.dialect import Dialect
from megaservice.pipeline.loader import Reading, read_pipeline
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import Dependency, ServiceKind

FIXTURE = Path(__file__).parent / "fixtures" / "gmc_nested.yaml"
_HEAD = "apiVersion: gmc.opea.io/v1alpha3\nkind: GMConnector\nmetadata: {name: test}\nspec:\n  nodes:\n"


def _read(routers: str) -> Reading:
    """Read a connector whose routers begin at line 6."""
    return read_pipeline(_HEAD + indent(dedent(routers).strip("\n") + "\n", "    "), "gmc.yaml", {})


def _pipeline(routers: str) -> Pipeline:
    reading = _read(routers)
    assert reading.pipeline is not None, reading.problems
    return reading.pipeline


def _problems(routers: str) -> str:
    return "\n".join(map(str, _read(routers).problems))


def test_gmc_file_of_upstreams_shape_loads_unchanged() -> None:
    """Nested routers, steps that others call, and a switch whose steps share conditions."""
    reading = read_pipeline(FIXTURE.read_text("utf-8"), "gmc.yaml", {})
    pipeline = reading.pipeline
    assert reading.dialect is Dialect.GMC
    assert pipeline is not None, reading.problems
    assert pipeline.spec.name == "nested"
    assert list(pipeline.spec.nodes) == [
        *("embedder-large", "Retriever", "embedder-small", "Reranking", "llm-short", "Llm", "Grader", "Guardrails"),
    ]
    assert pipeline.spec.edges == (
        *(("embedder-large", "Retriever"), ("Retriever", "Reranking"), ("embedder-small", "Reranking")),
        *(("llm-short", "Grader"), ("Llm", "Grader"), ("llm-short", "Guardrails"), ("Llm", "Guardrails")),
    )
    by_size, by_score = pipeline.spec.control
    assert by_size == SwitchRule(
        switch="request",
        cases=(
            CaseSpec(when="request.size == 'large'", to=("embedder-large",)),
            CaseSpec(when="request.size == 'small'", to=("embedder-small",)),
        ),
    )
    assert isinstance(by_score, SwitchRule)
    assert (by_score.switch, by_score.cases[-1]) == ("Reranking", CaseSpec(to=("Llm",)))
    nodes = pipeline.spec.nodes
    assert nodes["Guardrails"].endpoint == "http://guard.safety.svc.cluster.local/v1/guardrails"
    assert (nodes["llm-short"].model, nodes["llm-short"].service_type) == ("small", ServiceKind.LLM)
    assert (nodes["Grader"].dependency, nodes["llm-short"].dependency) == (Dependency.SOFT, Dependency.HARD)


def test_gmc_file_notes_what_has_no_effect() -> None:
    """Steps that other services call, the router's own settings, and steps that share a condition."""
    notes = "\n".join(map(str, read_pipeline(FIXTURE.read_text("utf-8"), "gmc.yaml", {}).notes))
    assert "gmc.yaml:9:3: 'routerConfig' is about the connector's own router" in notes
    assert "gmc.yaml:19:11: step 'RankingModel' is called by another service" in notes
    assert "gmc.yaml:36:11: it has the condition of a step before it, 'size==large', and follows it." in notes


def test_gmc_file_comes_back_as_it_was() -> None:
    """Written as a connector and read again, it is the same but for the condition that only one side can say."""
    pipeline = read_pipeline(
        FIXTURE.read_text("utf-8").replace("documents.#(score>0.5)", "large==yes"), "g", {}
    ).pipeline
    assert pipeline is not None
    converted = convert(pipeline, Dialect.GMC)
    again = read_pipeline(converted.text, "again.yaml", {})
    assert again.pipeline is not None, (again.problems, converted.text)
    assert converted.losses == ()
    assert again.pipeline.spec.nodes == pipeline.spec.nodes
    assert set(again.pipeline.spec.edges) == set(pipeline.spec.edges)
    assert again.pipeline.spec.control == pipeline.spec.control


def test_gmc_step_without_response_gets_the_request() -> None:
    """It still runs behind the step before it."""
    pipeline = _pipeline("""
        root:
          routerType: Sequence
          steps:
          - {name: a, externalService: 'http://a:1/v1/embeddings'}
          - {name: b, externalService: 'http://b:1/v1/embeddings'}
          - {name: llm, data: $response.found.text, externalService: 'http://c:1/'}
    """)
    assert pipeline.spec.nodes["b"].inputs == {"text": "request.text"}
    assert pipeline.spec.nodes["llm"].inputs == {"text": "b.found.text"}


def test_gmc_condition_in_a_sequence_is_about_the_answer_before() -> None:
    """Where it does not hold, the sequence ends there."""
    pipeline = _pipeline("""
        root:
          routerType: Sequence
          steps:
          - {name: guard, externalService: 'http://a:1/v1/guardrails'}
          - {name: llm, data: $response, condition: safe.reason, externalService: 'http://b:1/'}
    """)
    assert pipeline.spec.control == (ConditionRule(flow="guard >> llm", when="guard.safe.reason != `null`"),)


def test_gmc_switch_behind_a_switch_becomes_conditions() -> None:
    """Each branch behind several nodes has a condition of its own, and excludes those before it."""
    pipeline = _pipeline("""
        root:
          routerType: Sequence
          steps:
          - {name: first, nodeName: one}
          - {name: second, data: $response, nodeName: two}
        one:
          routerType: Switch
          steps:
          - {name: a, condition: x==1, externalService: 'http://a:1/v1/embeddings'}
          - {name: b, externalService: 'http://b:1/v1/embeddings'}
        two:
          routerType: Switch
          steps:
          - {name: c, condition: y==k, externalService: 'http://c:1/v1/embeddings'}
          - {name: llm, externalService: 'http://d:1/'}
    """)
    assert pipeline.spec.control[1:] == (
        ConditionRule(flow="(a, b) >> c", when="((a || b).y == 'k')"),
        ConditionRule(flow="(a, b) >> llm", when="!((a || b).y == 'k')"),
    )


@pytest.mark.parametrize(
    ("routers", "expected"),
    [
        ("main: {routerType: Sequence, steps: []}", "gmc.yaml:5:3: there is no router 'root', where requests begin"),
        (
            "root: {routerType: Sequenc, steps: []}",
            "gmc.yaml:6:12: 'routerType': expected 'Sequence', 'Ensemble' or 'Switch', found 'Sequenc'."
            " Did you mean 'Sequence'?",
        ),
        (
            "root:\n  routerType: Sequence\n  steps:\n  - {name: a, nodName: x}",
            "gmc.yaml:9:19: the key 'nodName' is not known here. Did you mean 'nodeName'?",
        ),
        (
            "root:\n  routerType: Sequence\n  steps:\n  - {name: a, nodeName: othr}\nother: {routerType: Sequence}",
            "gmc.yaml:9:19: there is no router 'othr' under 'nodes'. Did you mean 'other'?",
        ),
        (
            "root: {routerType: Sequence, steps: [{nodeName: b}]}\n"
            "b: {routerType: Sequence, steps: [{nodeName: root}]}",
            "gmc.yaml:7:40: the routers lead back to 'root': root >> b >> root. Remove one of these steps.",
        ),
        (
            "root: {routerType: Sequence, steps: [{name: llm, externalService: 'http://a:1/'}]}\n"
            "b: {routerType: Sequence, steps: [{name: llm, externalService: 'http://a:1/'}]}",
            "gmc.yaml:7:5: no step leads to router 'b'; name it in one, or remove it.",
        ),
        (
            "root: {routerType: Sequence, steps: [{name: llm}]}",
            "gmc.yaml:6:42: step 'llm' needs a 'nodeName', an 'internalService' with a 'serviceName', or an",
        ),
        (
            "root: {routerType: Switch, steps: [{name: llm, condition: a.@rev, externalService: 'http://a:1/'}]}",
            "gmc.yaml:6:52: the condition 'a.@rev' cannot be said in JMESPath: '@rev' is a modifier; write key==value",
        ),
        (
            "root: {routerType: Sequence, steps: [{name: llm, data: $respons, externalService: 'http://a:1/'}]}",
            "'$respons' is no data of a step; write '$response'",
        ),
        (
            "root: {routerType: Sequence, steps: [{name: llm, externalService: 'http://0.0.0.0:1/'}]}",
            "0.0.0.0 is an address to listen on",
        ),
    ],
)
def test_gmc_file_that_is_wrong_says_where_and_what_to_write(routers: str, expected: str) -> None:
    """File, line, column and remedy, as in every dialect."""
    assert expected in _problems(routers)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            ("kind: GMConnector", "kind: GMConector"),
            "gmc.yaml:2:1: 'kind': expected 'GMConnector', found 'GMConector'.",
        ),
        (("gmc.opea.io/v1alpha3", "apps/v1"), "gmc.yaml:1:1: 'apiVersion': expected 'gmc.opea.io/v1alpha3'"),
        (("metadata:", "metdata:"), "gmc.yaml:3:1: the key 'metdata' is not known here. Did you mean 'metadata'?"),
    ],
)
def test_gmc_file_with_a_wrong_head_is_refused(change: tuple[str, str], expected: str) -> None:
    """Another kind of resource is no pipeline."""
    text = _HEAD + "    root: {routerType: Sequence, steps: [{name: llm, externalService: 'http://a:1/'}]}\n"
    assert expected in "\n".join(map(str, read_pipeline(text.replace(*change), "gmc.yaml", {}).problems))


def test_gmc_switch_inside_a_switch_becomes_conditions_that_hold_together() -> None:
    """The branch of a branch needs both conditions; a condition in an Ensemble is about the request."""
    pipeline = _pipeline("""
        root:
          routerType: Ensemble
          steps:
          - {name: a, nodeName: outer}
          - {name: b, nodeName: side, condition: x.y}
        outer:
          routerType: Switch
          steps:
          - {name: p, condition: k==v, nodeName: inner}
          - {name: q, externalService: 'http://q:1/v1/embeddings'}
        inner:
          routerType: Switch
          steps:
          - {name: r, condition: m==z, externalService: 'http://r:1/v1/embeddings'}
          - {name: s, externalService: 'http://s:1/v1/embeddings'}
        side:
          routerType: Sequence
          steps:
          - {name: t, externalService: 'http://t:1/v1/chat/completions'}
          - {name: llm, data: $response, externalService: 'http://u:1/v1/chat/completions'}
    """)
    assert pipeline.spec.edges == (("t", "llm"),)
    assert pipeline.spec.control == (
        ConditionRule(flow="request >> r", when="(request.k == 'v') && (request.m == 'z')"),
        ConditionRule(flow="request >> s", when="(request.k == 'v') && !(request.m == 'z')"),
        ConditionRule(flow="request >> q", when="!(request.k == 'v')"),
        ConditionRule(flow="request >> t", when="request.x.y != `null`"),
    )
