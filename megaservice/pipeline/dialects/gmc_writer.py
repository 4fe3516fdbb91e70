"""A pipeline as a resource `GMConnector`: series become Sequences, parallels Ensembles, a switch a Switch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from megaservice.pipeline.control import REQUEST, ConditionRule, RepeatRule, SplitRule, SwitchRule
from megaservice.pipeline.dag import Dag
from megaservice.pipeline.dialects.gjson import UntranslatableError, quoted_name, to_gjson
from megaservice.pipeline.dialects.gmc_shape import API_VERSION, KIND, REQUEST_DATA, RESPONSE_DATA, ROOT, RouterType
from megaservice.pipeline.dialects.losses import Loss
from megaservice.pipeline.dialects.roles import role_at, role_of
from megaservice.pipeline.dialects.series_parallel import Parallel, Part, Series, members, take_apart
from megaservice.pipeline.dialects.services_only import ServiceGraph, head_losses, node_losses, services_of
from megaservice.pipeline.spec import Dependency, NodeSpec, PipelineSpec, ServiceKind

_TARGET = "a GMConnector"
_SAID = frozenset({"endpoint", "dependency", "service_type", "model", "inputs"})
_CLUSTER = re.compile(r"(?P<service>[a-z0-9-]+)\.(?P<space>[a-z0-9-]+)\.svc\.cluster\.local")
_MODEL_KEY = "LLM_MODEL_ID"
#: The inputs of a node that gets the request where it could have an answer.
_REQUEST_TEXT = {"text": "request.text"}


def to_gmc(spec: PipelineSpec) -> tuple[dict[str, Any], list[Loss]]:
    """Return a pipeline as a resource of the connector, and what that does not carry."""
    writer = _Writer(spec, services_of(spec))
    return writer.document(), writer.losses


@dataclass(slots=True)
class _Writer:
    spec: PipelineSpec
    graph: ServiceGraph
    losses: list[Loss] = field(default_factory=list)
    routers: dict[str, dict[str, Any]] = field(default_factory=dict)
    _written: set[int] = field(default_factory=set)

    def document(self) -> dict[str, Any]:
        dag = Dag(self.graph.nodes, self.graph.edges)
        self.losses.extend(head_losses(self.spec, _TARGET))
        if dag.nodes:
            taken = take_apart(dag)
            self.routers[ROOT] = {}
            self.routers[ROOT] = self._router(taken.part, ())
            self._lose_added(taken.added)
        self.losses.extend(self._control_losses())
        for name, node in self.graph.nodes.items():
            self.losses.extend(self._service_losses(name, node))
        self.losses.extend(node_losses(self.spec, self.graph.nodes, _SAID, _TARGET))
        return {
            "apiVersion": API_VERSION,
            "kind": KIND,
            "metadata": {"name": self.spec.name},
            "spec": {"routerConfig": {"name": "router", "serviceName": "router-service"}, "nodes": self.routers},
        }

    def _router(self, part: Part, before: tuple[str, ...]) -> dict[str, Any]:
        """Return the router of a part that begins when some nodes have ended."""
        if isinstance(part, Series):
            return {"routerType": str(RouterType.SEQUENCE), "steps": list(self._series(part, before))}
        parts = part.parts if isinstance(part, Parallel) else (part,)
        plain: list[Part] = []
        chosen: dict[int, tuple[SwitchRule, list[Part]]] = {}
        for inner in parts:
            rule = self._switch_to(inner, before)
            if rule is None:
                plain.append(inner)
            else:
                chosen.setdefault(id(rule), (rule, []))[1].append(inner)
        switches = [self._switch(rule, inside, before) for rule, inside in chosen.values()]
        if len(switches) == 1 and not plain:
            return switches[0]
        steps = [self._step(inner, before) for inner in plain]
        steps.extend(self._nested(f"{switch['steps'][0]['name']}-switch", switch) for switch in switches)
        kind = RouterType.SEQUENCE if len(steps) == 1 else RouterType.ENSEMBLE
        return {"routerType": str(kind), "steps": steps}

    def _series(self, series: Series, before: tuple[str, ...]) -> Iterator[dict[str, Any]]:
        here, is_first = before, True
        for part in series.parts:
            step = self._step(part, here)
            if not is_first and "data" not in step:
                step["data"] = RESPONSE_DATA
            if not is_first:
                condition = self._condition(part, here)
                step |= {"condition": condition} if condition else {}
            yield step
            here, is_first = self._ends(part), False

    def _ends(self, part: Part) -> tuple[str, ...]:
        return Dag(self.graph.nodes, self.graph.edges).within(members(part)).leaves

    def _step(self, part: Part, before: tuple[str, ...]) -> dict[str, Any]:
        if isinstance(part, str) and self._switch_to(part, before) is None:
            return self._service(part, before)
        kind = "series" if isinstance(part, Series) else "group"
        return self._nested(f"{members(part)[0]}-{kind}", lambda: self._router(part, before))

    def _nested(self, wanted: str, router: dict[str, Any] | Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the step that leads to a router of its own; those inside it come behind it in the file."""
        name = self._free(wanted)
        self.routers[name] = {}
        self.routers[name] = router if isinstance(router, dict) else router()
        return {"name": name, "nodeName": name}

    def _free(self, wanted: str) -> str:
        name, number = wanted, 2
        while name in self.routers:
            name, number = f"{wanted}-{number}", number + 1
        return name

    def _service(self, name: str, before: tuple[str, ...]) -> dict[str, Any]:
        node = self.graph.nodes[name]
        step: dict[str, Any] = {"name": name}
        parts = urlsplit(node.url)
        inside = _CLUSTER.fullmatch(parts.hostname or "") if not parts.port and parts.scheme == "http" else None
        if inside:
            config = {"endpoint": node.url.split(parts.netloc, 1)[1] or "/"}
            config |= {_MODEL_KEY: node.model} if node.model and node.service_type is ServiceKind.LLM else {}
            service = {"serviceName": inside["service"], "nameSpace": inside["space"], "config": config}
            step["internalService"] = service
        else:
            step["externalService"] = node.endpoint
        if before and node.inputs == _REQUEST_TEXT:
            step["data"] = REQUEST_DATA
        step["dependency"] = "Soft" if node.dependency is Dependency.SOFT else "Hard"
        return step

    def _switch_to(self, part: Part, before: tuple[str, ...]) -> SwitchRule | None:
        """Return the switch that leads to a part, if the connector can say it and it is not written yet."""
        roots = set(Dag(self.graph.nodes, self.graph.edges).within(members(part)).roots)
        for rule in self.spec.control:
            if not isinstance(rule, SwitchRule) or id(rule) in self._written:
                continue
            begins_here = before == (() if rule.switch == REQUEST else (rule.switch,))
            if begins_here and any(roots <= set(case.to) for case in rule.cases) and self._conditions(rule) is not None:
                return rule
        return None

    @staticmethod
    def _conditions(rule: SwitchRule) -> list[str] | None:
        """Return the cases' conditions in the connector's words, None if one has none."""
        scope = REQUEST if rule.switch == REQUEST else quoted_name(rule.switch)
        try:
            found = [to_gjson(case.when, scope) if case.when else "" for case in rule.cases]
        except UntranslatableError:
            return None
        # Steps with one condition follow each other there, and each node has one place.
        targets = [name for case in rule.cases for name in case.to]
        return found if len(set(found)) == len(found) and len(set(targets)) == len(targets) else None

    def _switch(self, rule: SwitchRule, parts: list[Part], before: tuple[str, ...]) -> dict[str, Any]:
        self._written.add(id(rule))
        dag = Dag(self.graph.nodes, self.graph.edges)
        steps: list[dict[str, Any]] = []
        for case, condition in zip(rule.cases, self._conditions(rule) or [], strict=True):
            inside = [part for part in parts if set(dag.within(members(part)).roots) <= set(case.to)]
            if inside:
                step = self._step(inside[0] if len(inside) == 1 else Parallel(tuple(inside)), before)
                steps.append(step | ({"condition": condition} if condition else {}))
        return {"routerType": str(RouterType.SWITCH), "steps": steps}

    def _condition(self, part: Part, before: tuple[str, ...]) -> str:
        """Return the condition of a step of a Sequence, where one rule says it of all the edges to it."""
        rules = [rule for rule in self.spec.control if isinstance(rule, ConditionRule)]
        if not isinstance(part, str) or len(before) != 1:
            return ""
        rule = next((rule for rule in rules if set(rule.edges) == {(before[0], part)}), None)
        if rule is None:
            return ""
        try:
            condition = to_gjson(rule.when, quoted_name(before[0]))
        except UntranslatableError:
            return ""
        if condition.count("==") and "#" not in condition and "." not in condition:
            return ""  # in a Sequence the connector knows paths only
        self._written.add(id(rule))
        return condition

    def _control_losses(self) -> Iterator[Loss]:
        for rule in self.spec.control:
            if id(rule) in self._written:
                continue
            if isinstance(rule, RepeatRule):
                yield Loss("", "control", f"{_TARGET} has no loops; {', '.join(rule.repeat)} run once.")
            elif isinstance(rule, SplitRule):
                yield Loss("", "control", f"{_TARGET} has no weights; all targets of '{rule.split}' run in every run.")
            elif isinstance(rule, SwitchRule):
                yield Loss("", "control", f"{_TARGET} cannot say the switch on '{rule.switch}'; all its targets run.")
            else:
                yield Loss("", "control", f"{_TARGET} cannot say '{rule.flow}' when '{rule.when}'; it runs always.")

    def _lose_added(self, added: tuple[tuple[str, str], ...]) -> None:
        for source, target in added:
            reason = f"{_TARGET} goes step by step, so '{target}' waits for '{source}' too."
            self.losses.append(Loss(target, "edges", reason))

    def _service_losses(self, name: str, node: NodeSpec) -> Iterator[Loss]:
        path = urlsplit(node.url).path
        told = role_at(path) or role_of(name)
        if told.kind is not node.service_type:
            reason = f"{_TARGET} names no kinds; by its path and name this would be a {told.kind}."
            yield Loss(name, "service_type", reason)
        inside = _CLUSTER.fullmatch(urlsplit(node.url).hostname or "")
        if node.model and not (inside and node.service_type is ServiceKind.LLM):
            yield Loss(name, "model", f"{_TARGET} has a model only for an LLM in the cluster; left out.")
        says_inputs = (
            node.inputs == _REQUEST_TEXT and self.graph.upstreams(name) and told.kind is not ServiceKind.GRADER
        )
        if node.inputs and not says_inputs:
            yield Loss(name, "inputs", f"{_TARGET} hands on whole answers only; left out.")
