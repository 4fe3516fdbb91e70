"""Which hand-registered services stream, which take sentences, and what travels in which answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from comps import MicroService, ServiceType

from megaservice.orchestration.service_plan import make_plan
from megaservice.pipeline.spec import ConsumeMode

TEXT, JUDGE, TTS = ServiceType.GUARDRAIL, ServiceType.RAGAS, ServiceType.TTS


@dataclass(frozen=True)
class Case:
    """One graph; names begin with what the service is: llm, chat (an LLM that speaks OpenAI), text, or other."""

    edges: list[str]
    answers: list[str]
    sentences: list[str] = field(default_factory=list)
    attached: dict[str, list[str]] = field(default_factory=dict)
    early: list[str] = field(default_factory=list)


CASES = {
    "one": Case(["llm"], ["llm"]),
    "graded": Case(["llm>other"], ["llm"], attached={"llm": ["other"]}),
    "guarded": Case(["llm>text"], ["text"], ["text"]),
    "guards-in-a-row": Case(["llm>text1", "text1>text2"], ["text2"], ["text1", "text2"]),
    "guarded-and-graded": Case(["llm>text", "llm>other"], ["text"], ["text"], {"text": ["other"]}),
    "chat-in-a-row": Case(["chat1>chat2"], ["chat2"], early=["chat1"]),
    "opea-llms-in-a-row": Case(["llm1>llm2"], ["llm2"], ["llm2"]),
    "side-by-side": Case(["llm", "chat"], ["llm", "chat"]),
    "judge-of-both": Case(["llm>other", "chat>other"], ["llm", "chat"], attached={"chat": ["other"]}),
    "judge-between": Case(["chat1>other", "other>chat2"], ["chat2"], early=["chat1", "other"]),
    "text-join": Case(["llm>text", "chat>text"], ["llm", "chat"], attached={"chat": ["text"]}),
    "text-beside-a-chat": Case(["chat1>chat2", "chat1>text"], ["chat2", "text"], ["text"], early=["chat1"]),
    "text-between-chats": Case(["chat1>text", "text>chat2"], ["chat2"], ["text"], early=["chat1", "text"]),
    "text-in-front": Case(["text>llm"], ["llm"], early=["text"]),
    "side-leaf": Case(["other>llm", "other>text"], ["llm"], early=["other", "text"]),
    "no-llm": Case(["text>other"], [], early=["text", "other"]),
}


def _service(name: str) -> MicroService:
    kind = ServiceType.LLM if name.startswith(("llm", "chat")) else TEXT if name.startswith("text") else JUDGE
    path = "/v1/chat/completions" if name.startswith("chat") else "/x"
    return MicroService(name=name, host="127.0.0.1", port=1, endpoint=path, use_remote_service=True, service_type=kind)


def _graph(edges: list[str]) -> tuple[dict[str, Any], dict[str, list[str]]]:
    pairs = [edge.split(">") for edge in edges]
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    links = {name: [pair[1] for pair in pairs if pair[0] == name and len(pair) == 2] for name in names}
    return {name: _service(name) for name in names}, links


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_plan_of_a_streamed_request(case: Case) -> None:
    """Each answer is the last streaming service of its branch; what is behind one is late."""
    plan = make_plan(*_graph(case.edges), streams=True)
    assert list(plan.answers) == case.answers
    assert [name for name, spec in plan.specs.items() if spec.consume is ConsumeMode.SENTENCE] == case.sentences
    assert {name: list(below) for name, below in plan.attached.items() if below} == case.attached
    assert list(plan.early) == case.early


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_plan_of_json_mode_has_no_streams(case: Case) -> None:
    """Every node takes the whole, and ends before the results are there."""
    plan = make_plan(*_graph(case.edges), streams=False)
    assert (plan.answers, plan.late) == ((), frozenset())
    assert {spec.consume for spec in plan.specs.values()} == {ConsumeMode.WHOLE}


def test_service_that_declares_another_output_takes_no_sentences() -> None:
    """A grader says so by its type or by what it answers."""
    services, links = _graph(["llm>text"])
    services["text"].output_datatype = dict
    assert make_plan(services, links, streams=True).answers == ("llm",)
    services["text"] = MicroService(name="tts", host="127.0.0.1", port=1, use_remote_service=True, service_type=TTS)
    assert make_plan(services, links, streams=True).answers == ("llm",)
