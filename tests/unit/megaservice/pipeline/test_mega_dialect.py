"""The exporter's dialect: what the megaservice calls becomes a pipeline, and what is wrong is named."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from megaservice.pipeline.dialects.dialect import Dialect
from megaservice.pipeline.loader import Reading, read_pipeline
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline.spec import ServiceKind

FIXTURE = Path(__file__).parent / "fixtures" / "mega_questions.yaml"


def _read(text: str) -> Reading:
    return read_pipeline(dedent(text), "mega.yaml", {})


def _pipeline(text: str) -> Pipeline:
    reading = _read(text)
    assert reading.pipeline is not None, reading.problems
    return reading.pipeline


def test_mega_file_of_upstreams_shape_loads_unchanged() -> None:
    """Nodes, models, endpoints and their order come from the variables; unset ones that nobody uses do no harm."""
    pipeline = _pipeline(FIXTURE.read_text("utf-8"))
    assert pipeline.spec.name == "questions-backend"
    assert {name: (node.service_type, node.endpoint, node.model) for name, node in pipeline.spec.nodes.items()} == {
        "embedder": (ServiceKind.TEXT, "http://embedder:8090/v1/embeddings", "example/embedding-model"),
        "finder": (ServiceKind.TEXT, "http://finder:7000/v1/retrieval", None),
        "writer-llm": (ServiceKind.LLM, "http://writer-llm:8005/v1/chat/completions", "example/chat-model"),
    }
    assert pipeline.dag.order == ("embedder", "finder", "writer-llm")
    assert pipeline.answer_node == "writer-llm"


def test_mega_file_notes_what_has_no_effect() -> None:
    """Each note stands at its service; the dialect is told too."""
    reading = _read(FIXTURE.read_text("utf-8"))
    notes = "\n".join(map(str, reading.notes))
    assert reading.dialect is Dialect.MEGA
    assert "mega.yaml:2:1: 'global_envs' are for the containers" in notes
    assert "service 'store' is not called by the megaservice" in notes
    assert "this has no effect: image, volumes, replicas, options." in notes
    assert "they run in the order of the variables: embedder >> finder >> writer-llm." in notes


def test_mega_file_takes_dependencies_between_called_services_as_the_flow() -> None:
    """They say who waits for whom."""
    pipeline = _pipeline("""
        micro_services:
          - {service_name: a, dependencies: []}
          - {service_name: b, dependencies: [a]}
          - {service_name: llm, dependencies: [a]}
        mega_service:
          - service_name: m
            envs: [{A_HOST_IP: a}, {B_HOST_IP: b}, {LLM_SERVICE_HOST_IP: llm}]
    """)
    assert pipeline.spec.edges == (("a", "b"), ("a", "llm"))


def test_mega_file_takes_a_whole_endpoint_from_a_variable() -> None:
    """Where host and port are not enough."""
    pipeline = _pipeline("""
        micro_services: [{service_name: llm, ports: ['127.0.0.1:9:80']}]
        mega_service:
          - service_name: m
            envs: [{LLM_SERVICE_HOST_IP: llm}, {LLM_SERVICE_ENDPOINT: 'https://x/y'}]
    """)
    assert pipeline.spec.nodes["llm"].endpoint == "https://x/y"


_LLM = "micro_services: [{service_name: llm}]\n"
_CALLS = "mega_service: [{service_name: m, envs: [{LLM_SERVICE_HOST_IP: llm}]}]\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            f"micro_servces: []\n{_CALLS}",
            "mega.yaml:1:1: the key 'micro_servces' is not known here. Did you mean 'micro_services'?",
        ),
        (
            f"micro_services:\n  - service_name: llm\n    imge: x\n{_CALLS}",
            "mega.yaml:3:5: the key 'imge' is not known here. Did you mean 'image'?",
        ),
        (f"micro_services:\n  - image: x\n{_CALLS}", "mega.yaml:2:5: 'service_name' is missing"),
        (f"micro_services: [llm]\n{_CALLS}", "mega.yaml:1:18: a service is a mapping such as 'service_name: llm'"),
        (
            f"micro_services: [{{service_name: llm}}, {{service_name: llm}}]\n{_CALLS}",
            "two services are called 'llm'; rename one.",
        ),
        (
            f"micro_services: [{{service_name: llm, ports: [x]}}]\n{_CALLS}",
            "'ports[0]': 'x' is no port; write '8000:80', the host's port and the container's.",
        ),
        (
            f"micro_services:\n- service_name: llm\n  dependencies: [lm]\n{_CALLS}",
            "mega.yaml:3:18: service 'lm' is not in 'micro_services'. Did you mean 'llm'?",
        ),
        (
            f"{_LLM}mega_service:\n- service_name: m\n  envs:\n  - LLM_SERVICE_HOST_IP: lm\n",
            "mega.yaml:5:5: no service is called 'lm'. Did you mean 'llm'?",
        ),
        (
            f"{_LLM}mega_service: [{{service_name: m}}]\n",
            "mega.yaml:2:1: 'mega_service' calls no microservice; write 'envs: [LLM_SERVICE_HOST_IP: llm]'",
        ),
        (f"{_LLM}mega_service: []\n", "mega.yaml:2:1: 'mega_service' needs at least one service"),
        (
            f"micro_services: [{{service_name: llm, envs: [{{MODEL_ID: '${{UNSET}}'}}]}}]\n{_CALLS}",
            "the variable UNSET is not set",
        ),
    ],
)
def test_mega_file_that_is_wrong_says_where_and_what_to_write(text: str, expected: str) -> None:
    """File, line, column and remedy, as in every dialect."""
    assert expected in "\n".join(map(str, _read(text).problems))
