"""Walks through the routers of a `GMConnector` as a request would, and writes down nodes and rules on the way."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from megaservice.pipeline.control import REQUEST
from megaservice.pipeline.dialects.gjson import UntranslatableError, quoted_name, to_jmespath
from megaservice.pipeline.dialects.gmc_shape import RESPONSE_DATA, ROOT, Router, RouterType, Step, StepDependency
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.dialects.roles import Role, role_at, role_of
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.spec import ServiceKind
from servicekit.nearest import nearest

_ROUTERS: Path = ("spec", "nodes")
_MODEL_KEYS = ("LLM_MODEL_ID", "LLM_MODEL", "MODEL_ID", "modelId")
#: Stands where a condition could not be translated; that is noted.
_NEVER = "`false`"


@dataclass(slots=True)
class _Case:
    """One case of a switch; `condition` is None for the default."""

    condition: str | None
    targets: list[str] = field(default_factory=list)
    #: That no case before it held, either.
    alone: str = ""


@dataclass(frozen=True, slots=True)
class _Point:
    """Where the walk is.

    Attributes:
        before: The nodes that have ended; none at the beginning.
        data: The nodes whose answer is handed on; none if it is the request.
        gate: What must hold for the way to go on from here.
        case: Collects the next nodes, where a switch leads to them.
    """

    before: tuple[str, ...] = ()
    data: tuple[str, ...] = ()
    gate: str = ""
    case: _Case | None = None

    @property
    def scope(self) -> str:
        """What a condition at this point is about."""
        names = [quoted_name(name) for name in self.data]
        return REQUEST if not names else names[0] if len(names) == 1 else f"({' || '.join(names)})"


class RouteWalk:
    """One walk through all routers, from the root.

    Attributes:
        nodes: The fields of each node in OPEA's dialect.
        rules: The flow in OPEA's dialect.
    """

    def __init__(self, document: LocatedYaml, routers: dict[str, Router | None], namespace: str) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.rules: list[Any] = []
        self._document = document
        self._routers = routers
        self._namespace = namespace
        self._around: list[str] = []
        self._visited: set[str] = set()
        steps = [step for router in routers.values() if router for step in router.steps if not step.is_called_by_others]
        #: A name that several steps have says less than their services' names.
        self._shared = {name for name, count in Counter(step.name for step in steps).items() if count > 1}

    def run(self) -> None:
        """Go through all that the root leads to; what is wrong is added to the document's problems."""
        if not self._routers:
            return
        if ROOT not in self._routers:
            found = ", ".join(self._routers)
            self._document.problem(_ROUTERS, f"there is no router '{ROOT}', where requests begin; found {found}.")
            return
        self._route(ROOT, _Point())
        if None in self._routers.values():
            return  # the wrong one may lead to those that seem unused
        for name in self._routers.keys() - self._visited:
            self._document.problem(
                (*_ROUTERS, name), f"no step leads to router '{name}'; name it in one, or remove it."
            )

    def _route(self, name: str, point: _Point) -> tuple[str, ...]:
        """Go through a router; return the nodes whose answers it gives."""
        router = self._routers[name]
        self._visited.add(name)
        if router is None:
            return ()
        self._around.append(name)
        steps = [((*_ROUTERS, name, "steps", index), step) for index, step in enumerate(router.steps)]
        called = [(path, step) for path, step in steps if not self._is_skipped(path, step)]
        if not called:
            self._document.problem((*_ROUTERS, name), f"router '{name}' has no step that the pipeline calls.")
        through = {
            RouterType.SEQUENCE: self._sequence,
            RouterType.ENSEMBLE: self._ensemble,
            RouterType.SWITCH: self._switch,
        }
        exits = through[router.routerType](called, point)
        self._around.pop()
        return exits

    def _is_skipped(self, path: Path, step: Step) -> bool:
        if step.is_called_by_others:
            name = step.name or (step.internalService.serviceName if step.internalService else "")
            self._document.note(
                path, f"step '{name}' is called by another service, not by the pipeline; it is no node."
            )
        return step.is_called_by_others

    def _sequence(self, steps: list[tuple[Path, Step]], point: _Point) -> tuple[str, ...]:
        here, exits = point, point.before
        for path, step in steps:
            is_first = here is point
            if not is_first:
                answers = exits if step.data.startswith(RESPONSE_DATA) else point.data
                here = _Point(before=exits, data=answers)
            if step.condition:
                # Of the answer before it: where it does not hold, the sequence ends there.
                subject = point if is_first else _Point(data=exits)
                here = self._gated(here, self._translated((*path, "condition"), step.condition, subject.scope))
            exits = self._step(path, step, here)
            here = _Point(before=exits) if is_first else here
        return exits

    def _ensemble(self, steps: list[tuple[Path, Step]], point: _Point) -> tuple[str, ...]:
        exits: list[str] = []
        for path, step in steps:
            gate = self._translated((*path, "condition"), step.condition, point.scope) if step.condition else ""
            exits.extend(self._step(path, step, self._gated(point, gate) if gate else point))
        return tuple(dict.fromkeys(exits))

    def _switch(self, steps: list[tuple[Path, Step]], point: _Point) -> tuple[str, ...]:
        groups: dict[str, list[tuple[Path, Step]]] = {}
        for path, step in steps:
            groups.setdefault(step.condition.strip(), []).append((path, step))
        if "" in groups:  # what has no condition is the default
            groups[""] = groups.pop("")
        cases: list[_Case] = []
        exits: list[str] = []
        for condition, group in groups.items():
            path = group[0][0]
            text = self._translated((*path, "condition"), condition, point.scope) if condition else None
            case = _Case(text, alone=" && ".join(f"!({case.condition})" for case in cases))
            cases.append(case)
            exits.extend(self._branch(group, case, point))
        self._write_switch(self._around[-1], cases, point)
        return tuple(dict.fromkeys(exits))

    def _branch(self, group: list[tuple[Path, Step]], case: _Case, point: _Point) -> tuple[str, ...]:
        """Steps that share a condition follow each other."""
        holds = " && ".join(filter(None, (point.gate, case.alone, case.condition and f"({case.condition})")))
        here = _Point(point.before, point.data, gate=holds, case=case)
        exits: tuple[str, ...] = ()
        for path, step in group:
            if exits:
                self._document.note(
                    path, f"it has the condition of a step before it, '{step.condition}', and follows it."
                )
                here = _Point(before=exits, data=exits if step.data.startswith(RESPONSE_DATA) else point.data)
            exits = self._step(path, step, here)
        return exits

    def _write_switch(self, router: str, cases: list[_Case], point: _Point) -> None:
        path = (*_ROUTERS, router)
        if len(point.before) < 2 and not point.gate and all(case.targets for case in cases):
            source = point.before[0] if point.before else REQUEST
            written = [({"when": case.condition} if case.condition else {}) | {"to": case.targets} for case in cases]
            self._rule(path, {"switch": source, "cases": written})
            return
        # Several nodes before it, or one switch right behind another: each branch has its own condition.
        for case in cases:
            holds = " && ".join(filter(None, (point.gate, case.alone, case.condition and f"({case.condition})")))
            for target in case.targets:
                self._conditional(path, point.before, target, holds or "`true`")

    def _step(self, path: Path, step: Step, point: _Point) -> tuple[str, ...]:
        if step.nodeName:
            return self._nested(path, step.nodeName, point)
        role = self._role(step)
        endpoint = self._endpoint(path, step, role)
        name = self._name(step)
        fields: dict[str, Any] = {"service_type": str(role.kind)}
        if endpoint:
            fields["endpoint"] = endpoint
        else:
            self._document.unread.add((NODES_KEY, name, "endpoint"))
            self._document.unread.add((NODES_KEY, name))
        config = step.internalService.config if step.internalService else {}
        model = next((str(config[key]) for key in _MODEL_KEYS if config.get(key)), None)
        if model and role.kind is ServiceKind.LLM:
            fields["model"] = model
        if step.dependency is StepDependency.SOFT:
            fields["dependency"] = "soft"
        text = self._text_for(step, point)
        if text and role.kind is not ServiceKind.GRADER:
            fields["inputs"] = {"text": text}
        self.nodes[name] = fields
        self._document.aliases[(NODES_KEY, name)] = path
        self._connect(path, point, name)
        return (name,)

    def _nested(self, path: Path, name: str, point: _Point) -> tuple[str, ...]:
        if name not in self._routers:
            message = f"there is no router '{name}' under 'nodes'.{nearest(name, self._routers)}"
            self._document.problem((*path, "nodeName"), message)
            return ()
        if name in self._around:
            cycle = " >> ".join([*self._around[self._around.index(name) :], name])
            message = f"the routers lead back to '{name}': {cycle}. Remove one of these steps."
            self._document.problem((*path, "nodeName"), message)
            return ()
        return self._route(name, point)

    @staticmethod
    def _text_for(step: Step, point: _Point) -> str:
        """Return what a node gets where that is not the answer of the nodes before it."""
        field_path = step.data.removeprefix(RESPONSE_DATA).lstrip(".") if step.data.startswith(RESPONSE_DATA) else ""
        if field_path:
            return f"{point.scope}.{'.'.join(quoted_name(part) for part in field_path.split('.'))}"
        return f"{REQUEST}.text" if point.before and not point.data else ""

    def _connect(self, path: Path, point: _Point, name: str) -> None:
        if point.case is not None:
            point.case.targets.append(name)
        elif point.gate:
            self._conditional(path, point.before, name, point.gate)
        elif point.before:
            self._rule(path, f"{_group(point.before)} >> {name}")
        else:
            self._rule(path, name)

    def _conditional(self, path: Path, before: tuple[str, ...], name: str, holds: str) -> None:
        self._rule(path, {"flow": f"{_group(before or (REQUEST,))} >> {name}", "when": holds})

    def _rule(self, path: Path, rule: object) -> None:
        self._document.aliases[(MEGA_KEY, "mega_flow", len(self.rules))] = path
        self.rules.append(rule)

    @staticmethod
    def _gated(point: _Point, gate: str) -> _Point:
        both = f"{point.gate} && ({gate})" if point.gate else gate
        return _Point(point.before, point.data, gate=both)

    def _translated(self, path: Path, condition: str, scope: str) -> str:
        try:
            return to_jmespath(condition, scope)
        except UntranslatableError as exc:
            remedy = "write key==value, or a path such as 'items.#(key==\"value\")'"
            self._document.problem(path, f"the condition '{condition}' cannot be said in JMESPath: {exc}; {remedy}.")
            return _NEVER

    def _name(self, step: Step) -> str:
        service = step.internalService.serviceName if step.internalService else ""
        wanted = [re.sub(r"[^A-Za-z0-9_./-]+", "-", name).strip("-./") for name in self._wanted(step.name, service)]
        names = [name for name in wanted if name] or ["step"]
        free = next((name for name in names if name not in self.nodes), None)
        number = 2
        while free is None:
            free = f"{names[0]}-{number}" if f"{names[0]}-{number}" not in self.nodes else None
            number += 1
        return free

    def _wanted(self, name: str, service: str) -> tuple[str, str]:
        return (service, name) if name in self._shared else (name, service)

    @staticmethod
    def _role(step: Step) -> Role:
        path = str(step.internalService.config.get("endpoint", "")) if step.internalService else step.externalService
        found = role_at("/" + re.sub(r"^[a-z]+://[^/]*", "", path).lstrip("/"))
        return found or role_of(step.name or (step.internalService.serviceName if step.internalService else ""))

    def _endpoint(self, path: Path, step: Step, role: Role) -> str | None:
        internal = step.internalService
        if internal and step.externalService:
            self._document.problem(path, "'internalService' and 'externalService' exclude each other; remove one.")
        if step.externalService or step.serviceUrl:
            return step.externalService or step.serviceUrl
        if internal is None or not internal.serviceName:
            message = f"step '{step.name}' needs a 'nodeName', an 'internalService' with a 'serviceName', or an"
            self._document.problem(path, f"{message} 'externalService'.")
            return None
        space = internal.nameSpace or self._namespace
        host = f"{internal.serviceName}.{space}.svc.cluster.local" if space else internal.serviceName
        tail = str(internal.config.get("endpoint") or role.path)
        return f"http://{host}{tail}" if tail.startswith(("/", ":")) else f"http://{host}/{tail}"


def _group(names: tuple[str, ...]) -> str:
    return names[0] if len(names) == 1 else f"({', '.join(names)})"
