"""Several pipelines in one gateway: which one answers, and what the gateway tells about them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx

from tests.conftest import UpstreamFactory
from tests.support import scripts
from tests.support.gateway import CHAT, GRADE, GRADED, ask, chat_file, graded_file, running_gateway


async def _get(url: str, **parameters: str) -> httpx.Response:
    async with httpx.AsyncClient(timeout=10, trust_env=False) as client:
        return await client.get(url, params=parameters)


def _named(url: str, name: str, *endpoints: str, **node: Any) -> dict[str, Any]:
    document = chat_file(url, **node)
    document["opea_mega_service"] = {"name": name, "endpoints": list(endpoints), "mega_flow": ["llm"]}
    return document


async def test_model_picks_a_pipeline_on_chat_completions(scripted_upstream: UpstreamFactory, tmp_path: Path) -> None:
    """The pipeline's name is for the gateway alone: its nodes are asked for their own default."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    grader = await scripted_upstream(scripts.answer(200, GRADE))
    async with running_gateway(tmp_path, llm_url=llm.url, grader_url=grader.url) as url:
        picked = await ask(url + CHAT, model="graded")
        aliased = await ask(url + CHAT, model="short-name")
        own = await ask(url + GRADED, model="graded")
    assert picked.json()["grade"]["score"] == 0.9
    assert "grade" not in aliased.json()
    assert own.json()["grade"]["score"] == 0.9
    assert [request.json.get("model") for request in llm.requests] == [None, "short-name", None]


async def test_unknown_model_is_a_400_that_names_the_nearest(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """The service behind refuses the name; the gateway adds what it knows, pipelines and aliases."""
    refusal = scripts.openai_error(404, "The model does not exist", "model_not_found")
    llm = await scripted_upstream(refusal)
    async with running_gateway(tmp_path, llm_url=llm.url) as url:
        graded = (await ask(url + CHAT, model="gradde")).json()["error"]
        alias = await ask(url + CHAT, model="short-nam", stream=True)
    assert graded["code"] == "model_not_found"
    assert "Did you mean 'graded'?" in graded["message"]
    assert "chat, graded" in graded["message"]
    assert alias.status_code == 400
    assert "Did you mean 'short-name'?" in alias.json()["error"]["message"]


async def test_chat_completions_is_there_without_a_pipeline_of_its_own(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Of several pipelines elsewhere the model must name one; a single one answers all."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    files = [_named(llm.url, "one", "/v1/one"), _named(llm.url, "two", "/v1/two")]
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        named = await ask(url + CHAT, model="two")
        unnamed = await ask(url + CHAT)
        about = await _get(url + "/v1/list_service")
    assert named.status_code == 200
    assert (unnamed.status_code, unnamed.json()["error"]["code"]) == (400, "model_not_found")
    assert "one, two" in unnamed.json()["error"]["message"]
    assert (about.status_code, about.json()["error"]["param"]) == (400, "pipeline")


async def test_pipelines_are_listed_with_their_state(refused_url: str, tmp_path: Path) -> None:
    """Name, endpoints, file and state; the folder is nobody's business."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        response = await _get(url + "/v1/pipelines")
    assert str(tmp_path) not in response.text
    chat, graded = response.json()["data"]
    assert (chat["name"], chat["file"], chat["state"], chat["problems"]) == ("chat", "0.yaml", "running", [])
    assert (graded["endpoints"], graded["running"], graded["draining"]) == ([GRADED], 0, 0)


async def test_one_pipeline_is_told_with_spec_and_graph(refused_url: str, tmp_path: Path) -> None:
    """Nodes, edges and a Mermaid diagram; an unknown name is a 404 with the nearest."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        graded = (await _get(url + "/v1/pipelines/graded")).json()
        missing = await _get(url + "/v1/pipelines/graedd")
    graph = graded["graph"]
    assert [node["name"] for node in graph["nodes"]] == ["llm", "grader"]
    assert graph["edges"] == [{"from": "llm", "to": "grader"}]
    assert (graph["answers"], graph["attached"]) == (["llm"], {"grader": "grade"})
    assert graph["mermaid"].startswith("flowchart")
    assert graded["spec"]["nodes"]["llm"]["prompt"]["history"] == "last_user_message"
    assert missing.status_code == 404
    assert "Did you mean 'graded'?" in missing.json()["error"]["message"]


async def test_nothing_that_is_told_holds_a_secret(refused_url: str, tmp_path: Path) -> None:
    """User info of URLs, keys in queries and parameters; a key's variable is named, its value is not there."""
    secretive = refused_url.replace("http://", "http://user:hunter2@")
    node = {"api_key_env": "LLM_KEY", "parameters": {"api_key": "hunter3", "temperature": 0.5}}
    document = _named(secretive, "secretive", CHAT, **node)
    document["opea_micro_services"]["llm"]["replicas"] = [f"{refused_url}/v1?api_key=hunter4&version=1"]
    async with running_gateway(tmp_path, llm_url=refused_url, files=[document]) as url:
        paths = ("/v1/pipelines", "/v1/pipelines/secretive", "/v1/list_service", "/v1/list_parameters", "/openapi.json")
        pages = [(await _get(url + path)).text for path in paths]
    assert not any("hunter" in page for page in pages)
    assert "LLM_KEY" in pages[1]
    assert "version=1" in pages[1]


async def test_list_service_has_opeas_shape(refused_url: str, tmp_path: Path) -> None:
    """A description and an endpoint for each node, of the pipeline that is asked for."""
    async with running_gateway(tmp_path, llm_url=refused_url) as url:
        default = (await _get(url + "/v1/list_service")).json()
        graded = (await _get(url + "/v1/list_service", pipeline="graded")).json()
        unknown = await _get(url + "/v1/list_service", pipeline="x")
    assert default == {
        "llm": {"description": "llm of pipeline 'chat'", "endpoint": f"{refused_url}/v1/chat/completions"}
    }
    assert list(graded) == ["llm", "grader"]
    assert unknown.status_code == 404


async def test_list_parameters_has_bounds_and_the_pipelines_defaults(refused_url: str, tmp_path: Path) -> None:
    """What a request may set, and what it is where the request does not."""
    files = [chat_file(refused_url), graded_file(refused_url, refused_url)]
    async with running_gateway(tmp_path, llm_url=refused_url, files=files) as url:
        default = (await _get(url + "/v1/list_parameters")).json()
        graded = (await _get(url + "/v1/list_parameters", pipeline="graded")).json()
    assert default["temperature"] == {"type": "number", "minimum": 0, "maximum": 2}
    assert graded["temperature"]["default"] == 0
    assert "messages" not in default


async def test_request_headers_reach_the_nodes_that_name_them(
    scripted_upstream: UpstreamFactory, tmp_path: Path
) -> None:
    """Those alone: what a client sends to the gateway is not for every service behind it."""
    llm = await scripted_upstream(scripts.completion("Ciao!"))
    files = [
        _named(llm.url, "passing", "/v1/passing", headers=["x-tenant", "authorization"]),
        _named(llm.url, "silent", "/v1/silent"),
    ]
    sent = {"X-Tenant": "blue", "Authorization": "Bearer caller", "X-Other": "no"}
    async with running_gateway(tmp_path, llm_url=llm.url, files=files) as url:
        await ask(url + "/v1/passing", headers=sent)
        await ask(url + "/v1/silent", headers=sent)
    passing, silent = ({name.lower(): value for name, value in request.headers.items()} for request in llm.requests)
    assert (passing["x-tenant"], passing["authorization"]) == ("blue", "Bearer caller")
    assert not {"x-tenant", "x-other", "authorization"} & silent.keys()
    assert "x-other" not in passing
