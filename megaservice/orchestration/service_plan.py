"""How hand-registered services run: who streams, who takes what sentence by sentence, what travels in which answer.

Computed once for a graph and kept; nothing of a request is in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from comps import MicroService, ServiceType, TextDoc

from megaservice.orchestration.service_graph import Links
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.spec import ConsumeMode, NodeSpec, ServiceKind

#: The services that stream where a stream is asked for, and get the LLMParams.
LANGUAGE_MODELS = frozenset({ServiceType.LLM, ServiceType.LVM})
#: The services that turn a text into a text, if they speak TextDoc. (comps' decorator says UNDEFINED if nobody does.)
_TEXT_TO_TEXT = frozenset({ServiceType.LLM, ServiceType.GUARDRAIL, ServiceType.UNDEFINED})


@dataclass(frozen=True, slots=True)
class ServicePlan:
    """What all runs of one graph share.

    Attributes:
        dag: The graph, in the order of registration.
        specs: How each node is used.
        answers: The nodes whose streams are results; none in JSON mode.
        held: The language models that are asked for the whole though a stream is wanted: another one needs their whole
            before it can begin, so no reader may pace them.
        late: The nodes that cannot end before the answers are read, the answers among them.
        attached: The leaves behind a streaming answer whose outputs travel in its last chunk, by answer.
    """

    dag: Dag
    specs: Mapping[str, NodeSpec]
    answers: tuple[str, ...]
    held: frozenset[str]
    late: frozenset[str]
    attached: Mapping[str, tuple[str, ...]]

    @property
    def early(self) -> tuple[str, ...]:
        """The nodes that end before the results are there."""
        return tuple(name for name in self.dag.order if name not in self.late)

    def has_whole_reader(self, name: str) -> bool:
        """Whether a later node takes this node's whole output."""
        return any(self.specs[below].consume is ConsumeMode.WHOLE for below in self.dag.downstreams(name))


def make_plan(services: Mapping[str, Any], links: Links, *, streams: bool) -> ServicePlan:
    """Plan the runs of a graph.

    Args:
        services: comps' definitions, by name.
        links: The downstream nodes of each node.
        streams: Whether streamed answers are asked for.
    """
    dag = Dag(links, [(name, below) for name in links for below in links[name]])
    streaming: dict[str, ConsumeMode] = {}
    for name in dag.order if streams else ():
        if _takes_sentences(services[name], dag.upstreams(name), streaming):
            streaming[name] = ConsumeMode.SENTENCE
        elif services[name].service_type in LANGUAGE_MODELS:
            streaming[name] = ConsumeMode.WHOLE
    answers = tuple(name for name in streaming if not any(name in dag.ancestors(other) for other in streaming))
    specs = {name: _spec(services[name], streaming.get(name, ConsumeMode.WHOLE)) for name in dag.nodes}
    whole = [name for name, mode in streaming.items() if mode is ConsumeMode.WHOLE]
    held = frozenset(streaming).intersection(frozenset().union(*(dag.ancestors(name) for name in whole)))
    late = _late(dag, specs, answers, held)
    return ServicePlan(dag, specs, answers, held, late, _attached(dag, answers, late))


def speaks_openai(service: MicroService) -> bool:
    """Whether a service's address is that of an OpenAI chat endpoint."""
    return urlsplit(service.endpoint or "").path.rstrip("/").endswith("/chat/completions")


def _takes_sentences(service: MicroService, upstreams: tuple[str, ...], streaming: Mapping[str, ConsumeMode]) -> bool:
    """Whether a TextDoc service stands behind exactly one node, and that one streams."""
    return len(upstreams) == 1 and upstreams[0] in streaming and _is_text_service(service)


def _is_text_service(service: MicroService) -> bool:
    kinds = (service.input_datatype, service.output_datatype)
    speaks_text = all(isinstance(kind, type) and issubclass(kind, TextDoc) for kind in kinds)
    return speaks_text and service.service_type in _TEXT_TO_TEXT and not speaks_openai(service)


def _spec(service: MicroService, consume: ConsumeMode) -> NodeSpec:
    # Not checked: stock takes any address, and says so only when it is called.
    kind = ServiceKind.LLM if service.service_type in LANGUAGE_MODELS else ServiceKind.TEXT
    return NodeSpec.model_construct(service_type=kind, endpoint=service.endpoint_path(None), consume=consume)


def _late(dag: Dag, specs: Mapping[str, NodeSpec], answers: tuple[str, ...], held: frozenset[str]) -> frozenset[str]:
    """Return the answers, those that they read piece by piece, and all that is behind one of these."""
    flowing = set(answers)
    for name in reversed(dag.order):
        if name in flowing and specs[name].consume is not ConsumeMode.WHOLE:
            flowing.update(set(dag.upstreams(name)) - held)
    return frozenset(name for name in dag.nodes if name in flowing or flowing & dag.ancestors(name))


def _attached(dag: Dag, answers: tuple[str, ...], late: frozenset[str]) -> dict[str, tuple[str, ...]]:
    attached: dict[str, tuple[str, ...]] = dict.fromkeys(answers, ())
    for leaf in dag.leaves:
        if leaf in late and leaf not in answers:
            answer = _answer_of(dag, answers, leaf)
            attached[answer] = (*attached[answer], leaf)
    return attached


def _answer_of(dag: Dag, answers: tuple[str, ...], leaf: str) -> str:
    """Return the last answer before a leaf; if there is none, the last that comes from the same stream."""
    ancestors = dag.ancestors(leaf)
    before = [name for name in answers if name in ancestors]
    related = [name for name in answers if ancestors & dag.ancestors(name)]
    return (before or related)[-1]
