"""`GET /v1/pipelines`: what is served and what is wrong; `/v1/list_service` and `/v1/list_parameters` as in OPEA."""

from __future__ import annotations

from functools import cache
from typing import Any

from fastapi import APIRouter

from megaservice.gateway import Gateway
from megaservice.pipeline.pipeline import Pipeline
from megaservice.routes.public import public_problem, public_spec, public_text
from megaservice.served import ServedPipeline, ServedPipelines
from servicekit.errors import InvalidRequestError, NotFoundError
from servicekit.nearest import nearest
from servicekit.openai.chat import ChatRequest

#: Fields of a request that say what is asked and not how it is answered.
_NO_PARAMETERS = ("messages", "model")


def about_router(served: ServedPipelines) -> APIRouter:
    """Build the routes that tell about the pipelines."""
    router = APIRouter(tags=["pipelines"])

    @router.get("/v1/pipelines", summary="The pipelines, their files, and what is wrong with them")
    async def list_pipelines() -> dict[str, Any]:
        return {"object": "list", "data": [_summary(served, pipeline) for pipeline in served.pipelines]}

    @router.get("/v1/pipelines/{name}", summary="One pipeline: as declared, and its graph")
    async def get_pipeline(name: str) -> dict[str, Any]:
        pipeline = _named(served, name)
        summary = _summary(served, pipeline)
        if pipeline.gateway is None:
            return summary
        checked = pipeline.gateway.pipeline
        return {**summary, "spec": public_spec(checked.spec), "graph": _graph(checked)}

    @router.get("/v1/list_service", summary="The services of a pipeline, as in OPEA")
    async def list_service(pipeline: str | None = None) -> dict[str, Any]:
        return _services(_chosen(served, pipeline).pipeline)

    @router.get("/v1/list_parameters", summary="What a request to a pipeline may set, as in OPEA")
    async def list_parameters(pipeline: str | None = None) -> dict[str, Any]:
        return _parameters(_chosen(served, pipeline).pipeline)

    return router


def _summary(served: ServedPipelines, pipeline: ServedPipeline) -> dict[str, Any]:
    spec = pipeline.gateway.pipeline.spec if pipeline.gateway else None
    return {
        "name": pipeline.name,
        "description": spec.description if spec else "",
        "endpoints": list(spec.endpoints) if spec else [],
        "state": pipeline.state,
        "file": pipeline.path.name,
        "loaded_at": pipeline.loaded_at,
        "running": pipeline.gateway.running if pipeline.gateway else 0,
        "draining": served.draining(pipeline.name),
        "problems": [public_problem(problem) for problem in pipeline.problems],
    }


def _named(served: ServedPipelines, name: str) -> ServedPipeline:
    for pipeline in served.pipelines:
        if pipeline.name == name:
            return pipeline
    raise _unknown(name, [pipeline.name for pipeline in served.pipelines])


def _chosen(served: ServedPipelines, name: str | None) -> Gateway:
    """Return the gateway of the query parameter `pipeline`; without it, that of requests which name none."""
    table = served.table
    gateway = table.by_name.get(name) if name else table.default
    if gateway is not None:
        return gateway
    if name:
        raise _unknown(name, list(table.by_name))
    names = ", ".join(table.by_name)
    raise InvalidRequestError(f"Which pipeline? Name one with ?pipeline=<name>: {names}.", param="pipeline")


def _unknown(name: str, known: list[str]) -> NotFoundError:
    return NotFoundError(f"There is no pipeline '{name}'.{nearest(name, known)} The pipelines: {', '.join(known)}.")


def _graph(pipeline: Pipeline) -> dict[str, Any]:
    from megaservice.pipeline.drawing import to_mermaid  # noqa: PLC0415 - nothing draws at the start

    dag, nodes = pipeline.dag, pipeline.spec.nodes
    return {
        "nodes": [{"name": name, "service_type": nodes[name].service_type} for name in dag.order],
        "edges": [{"from": source, "to": target} for source, target in dag.edges],
        "answers": list(pipeline.answer_nodes),
        "attached": dict(pipeline.attached),
        "mermaid": public_text(to_mermaid(pipeline)),
    }


def _services(pipeline: Pipeline) -> dict[str, Any]:
    """Return each node's description and endpoint, as OPEA's gateway answers them."""
    return {
        name: {
            "description": f"{node.service_type} of pipeline '{pipeline.spec.name}'",
            "endpoint": public_text(node.endpoint) if node.endpoint else None,
        }
        for name, node in pipeline.spec.nodes.items()
    }


def _parameters(pipeline: Pipeline) -> dict[str, Any]:
    """Return the fields of a request with their bounds, and what the answering node takes where they are not set."""
    defaults = public_spec(pipeline.spec)["nodes"][pipeline.answer_node].get("parameters", {})
    fields = {**_request_fields(), **{name: {} for name in defaults if name not in _request_fields()}}
    return {
        name: {**field, **({"default": defaults[name]} if name in defaults else {})} for name, field in fields.items()
    }


@cache
def _request_fields() -> dict[str, dict[str, Any]]:
    properties = ChatRequest.model_json_schema()["properties"]
    return {name: _bounds(field) for name, field in properties.items() if name not in _NO_PARAMETERS}


def _bounds(field: dict[str, Any]) -> dict[str, Any]:
    """Return type and bounds of a field; that it may be null, too, goes without saying."""
    choices = [choice for choice in field.get("anyOf", [field]) if choice.get("type") != "null"]
    bounds = choices[0] if len(choices) == 1 else {"type": [choice.get("type", "object") for choice in choices]}
    shown = {"type": "object", **bounds, **({"default": field["default"]} if field.get("default") is not None else {})}
    return {key: value for key, value in shown.items() if key not in ("title", "$ref")}
