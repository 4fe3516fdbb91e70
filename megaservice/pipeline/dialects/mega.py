"""The exporter's dialect: `mega.yaml`, which says what containers there are, and little of how a pipeline flows.

Source: comps/cores/mega/exporter.py of https://github.com/opea-project/GenAIComps. The nodes are the services that the
megaservice's variables name (`LLM_SERVICE_HOST_IP: llm-server`). Their order is that of their `dependencies` on each
other; where they have none, that of the variables.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from megaservice.pipeline.dialects.dialect import TOP_KEYS, Dialect
from megaservice.pipeline.dialects.opea import MEGA_KEY, NODES_KEY
from megaservice.pipeline.dialects.roles import Role, role_of
from megaservice.pipeline.located_yaml import LocatedYaml, Path
from megaservice.pipeline.wording import note_validation_problems, unknown_key
from servicekit.nearest import nearest

#: What ends the name of a variable that says where a service is.
HOST_SUFFIX, PORT_SUFFIX, ENDPOINT_SUFFIX = "_HOST_IP", "_PORT", "_ENDPOINT"
#: The variables and arguments by which OPEA's services are told their model.
MODEL_VARIABLES = ("LLM_MODEL_ID", "LLM_MODEL", "MODEL_ID")
_MODEL_ARGS = ("--model-id", "--model")
_ENV_NAME = re.compile(rf"(?P<service>[A-Z0-9_]+?)(_SERVICE|_SERVER)?{HOST_SUFFIX}", re.IGNORECASE)
_OWN = "MEGA"
#: What concerns whoever starts the containers, which the gateway is not.
_UNUSED = ("image", "volumes", "replicas", "resources", "options", "node_ports")


def _envs(value: object) -> object:
    """Join a list of `{name: value}` and `[name, value]` into one mapping, as the exporter does."""
    if not isinstance(value, list):
        return value
    pairs: dict[Any, Any] = {}
    for item in value:
        if isinstance(item, dict):
            pairs.update(item)
        elif isinstance(item, list) and len(item) == 2:
            pairs[str(item[0])] = item[1]
        else:
            raise ValueError(f"expected entries such as 'NAME: value', found {item!r}.")
    return pairs


def _text(value: object) -> object:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


def _port(value: object) -> object:
    text = _text(value)
    if isinstance(text, str) and not re.fullmatch(r"([0-9.]+:)?[0-9]+(:[0-9]+)?", text):
        raise ValueError(f"'{text}' is no port; write '8000:80', the host's port and the container's.")
    return text


_Text = Annotated[str, BeforeValidator(_text)]
_Envs = Annotated[dict[str, Any], BeforeValidator(_envs)]
_Port = Annotated[str, BeforeValidator(_port)]


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class _Resources(_Shape):
    cpu: Any = None
    memory: Any = None
    hpu: Any = None


class _Service(_Shape):
    service_name: str
    image: str | None = None
    ports: tuple[_Port, ...] = ()
    volumes: tuple[str, ...] = ()
    envs: _Envs = Field(default_factory=dict)
    dependencies: tuple[str, ...] | None = None
    replicas: int | None = None
    resources: _Resources | None = None
    options: tuple[Any, ...] = ()
    args: tuple[Any, ...] = ()
    node_ports: tuple[_Text, ...] = ()


class _Called:
    """A service that the megaservice calls."""

    def __init__(self, path: Path, service: _Service, variable: str, env: dict[str, Any]) -> None:
        self.path = path
        self.service = service
        prefix = variable.removesuffix(HOST_SUFFIX)
        match = _ENV_NAME.fullmatch(variable)
        self.role: Role = role_of(match["service"] if match else service.service_name)
        port = env.get(f"{prefix}{PORT_SUFFIX}") or next((_published(port) for port in service.ports), 80)
        self.endpoint = env.get(f"{prefix}{ENDPOINT_SUFFIX}") or f"http://{service.service_name}:{port}{self.role.path}"

    @property
    def fields(self) -> dict[str, Any]:
        fields = {"endpoint": self.endpoint, "service_type": str(self.role.kind)}
        model = _model_of(self.service)
        return fields | ({"model": model} if model else {})


def translate_mega(document: LocatedYaml) -> None:
    """Turn a document in the exporter's dialect into OPEA's, whose reader goes on with it."""
    data = document.data
    for key in data:
        if key not in TOP_KEYS[Dialect.MEGA]:
            document.problem((str(key),), unknown_key(str(key), TOP_KEYS[Dialect.MEGA]))
    services = dict(_services(document, "micro_services"))
    megas = dict(_services(document, "mega_service"))
    by_name = {service.service_name: (path, service) for path, service in services.items()}
    _check_dependencies(document, {**services, **megas}, by_name)
    caller, called = _calls(document, megas, by_name)
    used = {item.path for item in called} | ({caller} if caller else set())
    document.excuse(lambda path: path[:2] not in used)
    _note_unused(document, {**services, **megas}, used)
    name = megas[caller].service_name if caller else ""
    _write(document, name, caller, called)


def _services(document: LocatedYaml, key: str) -> Iterator[tuple[Path, _Service]]:
    items = document.data.get(key)
    if not isinstance(items, list) or not items:
        document.problem((key,), f"'{key}' needs at least one service: a list of '- service_name: ...'.")
        return
    seen: set[str] = set()
    for index, item in enumerate(items):
        path = (key, index)
        if not isinstance(item, dict):
            document.problem(path, f"a service is a mapping such as 'service_name: llm', found {item!r}.")
            continue
        try:
            service = _Service.model_validate(item)
        except ValidationError as exc:
            note_validation_problems(document, exc, _Service, path)
            continue
        if service.service_name in seen:
            document.problem((*path, "service_name"), f"two services are called '{service.service_name}'; rename one.")
        seen.add(service.service_name)
        yield path, service


def _check_dependencies(
    document: LocatedYaml, services: dict[Path, _Service], by_name: dict[str, tuple[Path, _Service]]
) -> None:
    for path, service in services.items():
        for index, name in enumerate(service.dependencies or ()):
            if name not in by_name and not document.problems:
                message = f"service '{name}' is not in 'micro_services'.{nearest(name, by_name)}"
                document.problem((*path, "dependencies", index), message)


def _calls(
    document: LocatedYaml, megas: dict[Path, _Service], by_name: dict[str, tuple[Path, _Service]]
) -> tuple[Path | None, list[_Called]]:
    """Return the megaservice that names others, and those; UIs and the like name none."""
    for path, mega in megas.items():
        called: dict[str, _Called] = {}
        for variable, value in mega.envs.items():
            if not _ENV_NAME.fullmatch(variable) or variable.upper().startswith(_OWN):
                continue
            if str(value) in by_name:
                place, service = by_name[str(value)]
                called.setdefault(service.service_name, _Called(place, service, variable, mega.envs))
            elif close := nearest(str(value), by_name):
                document.problem(_env_path(document, path, variable), f"no service is called '{value}'.{close}")
        if called:
            return path, list(called.values())
    if megas and by_name and not document.problems:
        first = next(iter(by_name))
        message = f"'mega_service' calls no microservice; write 'envs: [LLM_SERVICE_HOST_IP: {first}]' or the like."
        document.problem(("mega_service",), message)
    return None, []


def _env_path(document: LocatedYaml, path: Path, variable: str) -> Path:
    """Return the place of a variable in a list of mappings, or in a mapping."""
    envs = (*path, "envs")
    places = (place for place in document.places if place[:3] == envs and place[-1] == variable)
    return next(places, envs)


def _published(port: str) -> str:
    """Return the host's port of `8000:80`, `8000` or `127.0.0.1:8000:80`."""
    parts = port.split(":")
    return parts[-2] if len(parts) > 1 else parts[0]


def _model_of(service: _Service) -> str | None:
    for variable in MODEL_VARIABLES:
        if service.envs.get(variable):
            return str(service.envs[variable])
    args = [pair for arg in service.args if isinstance(arg, dict) for pair in arg.items()]
    return next((str(value) for key, value in args if key in _MODEL_ARGS), None)


def _note_unused(document: LocatedYaml, services: dict[Path, _Service], used: set[Path]) -> None:
    for path, service in services.items():
        name = service.service_name
        if path not in used:
            document.note(path, f"service '{name}' is not called by the megaservice; it is no node of the pipeline.")
            continue
        unused = [key for key in _UNUSED if key in service.model_fields_set]
        if unused:
            what = ", ".join(unused)
            document.note(path, f"service '{name}': the gateway starts no containers, so this has no effect: {what}.")
    if "global_envs" in document.data:
        document.note(("global_envs",), "'global_envs' are for the containers; they have no effect here.")


def _write(document: LocatedYaml, name: str, caller: Path | None, called: list[_Called]) -> None:
    nodes = {item.service.service_name: item.fields for item in called}
    document.aliases.update({(NODES_KEY, item.service.service_name): item.path for item in called})
    mega: dict[str, Any] = {"mega_flow": _flow(document, called)}
    if name:
        mega["name"] = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "mega"
    document.aliases.update({(MEGA_KEY,): caller or ("mega_service",), (NODES_KEY,): ("micro_services",)})
    document.data = {NODES_KEY: nodes, MEGA_KEY: mega}


def _flow(document: LocatedYaml, called: list[_Called]) -> list[str]:
    names = [item.service.service_name for item in called]
    edges = [
        f"{dependency} >> {item.service.service_name}"
        for item in called
        for dependency in item.service.dependencies or ()
        if dependency in names
    ]
    if edges or any(item.service.dependencies == () for item in called):
        linked = {name for edge in edges for name in edge.split(" >> ")}
        return [*edges, *(name for name in names if name not in linked)]
    if len(names) > 1:
        chain = " >> ".join(names)
        document.note(
            called[0].path,
            f"the file does not say how the services flow; they run in the order of the variables: {chain}."
            " 'dependencies' on each other would say it.",
        )
    return [" >> ".join(names)] if names else []
