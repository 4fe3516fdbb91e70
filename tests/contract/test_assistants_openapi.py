"""Our own OpenAPI document, asked with everything that it allows, and with what it does not."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance

from tests.support.assistants import assistants_at, client_of, finished_run, make, make_assistant, make_thread
from tests.support.scripted_gateway import GREETER, gateway
from tests.support.scripted_upstream import ScriptedUpstream

_CHECKS = [not_a_server_error, response_schema_conformance, content_type_conformance]
_EXAMPLES = 3
#: Chosen once: a failure is the same on every machine.
_SEED = 7
_SKIPPED = ("/health", "/ready", "/metrics", "/v1/health_check", "/v1/statistics")


async def _document_and_ids(url: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the document, and ids of objects that are there, by the names of the paths' parameters."""
    async with client_of(url) as client:
        document: dict[str, Any] = (await client.get("/openapi.json")).json()
        assistant_id, thread_id = await make_assistant(client), await make_thread(client, "Hello")
        run = await make(client, f"/v1/threads/{thread_id}/runs", assistant_id=assistant_id)
        await finished_run(client, thread_id, run["id"])
        upload = await client.post("/v1/files", files={"file": ("a.txt", b"x")}, data={"purpose": "assistants"})
        store = await make(client, "/v1/vector_stores")
    ids = {"assistant_id": assistant_id, "thread_id": thread_id, "run_id": run["id"], "file_id": upload.json()["id"]}
    return document, {**ids, "vector_store_id": store["id"], "model": GREETER}


def _explore(url: str, document: dict[str, Any], ids: dict[str, str]) -> int:
    """Ask every operation, deletions last, and check every answer; return how many were asked."""
    schema = schemathesis.openapi.from_dict(document)
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    wanted = [operation for operation in operations if operation.path not in _SKIPPED]
    for operation in sorted(wanted, key=lambda item: item.method == "delete"):
        _ask(operation, schemathesis.GenerationMode.POSITIVE, url, ids)
        if operation.body or operation.query:  # else there is nothing that could break a rule
            _ask(operation, schemathesis.GenerationMode.NEGATIVE, url, ids)
    return len(wanted)


def _ask(operation: Any, mode: schemathesis.GenerationMode, url: str, ids: dict[str, str]) -> None:  # noqa: ANN401
    @seed(_SEED)
    @settings(max_examples=_EXAMPLES, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: schemathesis.Case[Any]) -> None:
        case.path_parameters = _with_known(case.path_parameters or {}, ids)
        if mode is schemathesis.GenerationMode.POSITIVE and isinstance(case.body, dict):
            case.body = _with_known(case.body, ids)
        case.call_and_validate(base_url=url, checks=_CHECKS, timeout=20)

    ask()


def _with_known(values: dict[str, Any], ids: dict[str, str]) -> dict[str, Any]:
    """Return values whose ids and model are those that are there: other routes of the code than a 404's."""
    return {name: ids.get(name, value) for name, value in values.items()}


# Said because the service, in the same process, draws random numbers while an example is being made.
@pytest.mark.filterwarnings("ignore:Do not use the `random` module")
@pytest.mark.slow
@pytest.mark.timeout(240)
async def test_nothing_that_the_document_allows_is_a_500(tmp_path: Path) -> None:
    """No answer is a 5xx, and every answer fits its schema; the same for requests that break theirs."""
    async with ScriptedUpstream(gateway) as upstream, assistants_at(tmp_path, upstream.openai_url) as url:
        document, ids = await _document_and_ids(url)
        asked = await asyncio.to_thread(_explore, url, document, ids)
    assert asked >= 23


async def test_document_has_bodies_and_answers_of_every_route(tmp_path: Path, refused_url: str) -> None:
    """Every POST that takes a body shows its schema, every answer has one, errors have OpenAI's."""
    async with assistants_at(tmp_path, refused_url) as url, httpx.AsyncClient(base_url=url, trust_env=False) as client:
        document = (await client.get("/openapi.json")).json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if path in _SKIPPED:
                continue
            assert operation["summary"], path
            assert "422" not in operation["responses"], path
            assert operation["responses"]["200"]["content"], f"{method} {path}"
            takes_none = path.endswith("/cancel") or method != "post"
            assert takes_none or operation["requestBody"]["content"], f"{method} {path}"
    create = document["paths"]["/v1/assistants"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert create["required"] == ["model"]
    assert create["properties"]["metadata"]["anyOf"][0]["maxProperties"] == 16
