"""The table of services, and where the environment says that they listen."""

from __future__ import annotations

import json

import pytest

from megaservice.cli.services import Service, configured_services
from megaservice.settings import GatewaySettings
from microservices.assistants.settings import AssistantsSettings
from microservices.grader.settings import GraderSettings
from microservices.llm.settings import LLMSettings
from microservices.retriever.settings import RetrieverSettings
from servicekit.environment import read_variables
from servicekit.errors import ConfigurationError
from servicekit.settings import load_settings


def _ports(variables: dict[str, str]) -> dict[str, int]:
    return {service.name: service.port for service in configured_services(variables)}


def test_ports_are_the_documented_ones_without_variables() -> None:
    """The ports of the documentation hold where nothing is set."""
    assert _ports({}) == {"llm": 9002, "grader": 9003, "retriever": 7000, "gateway": 8000, "assistants": 3000}


def test_ports_follow_their_variables() -> None:
    """Each service's own variable moves it."""
    names = (
        "LLM_SERVICE_PORT",
        "GRADER_SERVICE_PORT",
        "RETRIEVER_SERVICE_PORT",
        "MEGA_SERVICE_PORT",
        "ASSISTANTS_PORT",
    )
    variables = {name: str(1001 + index) for index, name in enumerate(names)}
    assert _ports(variables) == {"llm": 1001, "grader": 1002, "retriever": 1003, "gateway": 1004, "assistants": 1005}


def test_llm_port_takes_the_older_name_and_prefers_the_newer() -> None:
    """OPEA users know the LLM's port under two names."""
    assert _ports({"LLM_SERVER_PORT": "1001"})["llm"] == 1001
    assert _ports({"LLM_SERVER_PORT": "1001", "LLM_SERVICE_PORT": "1002"})["llm"] == 1002


def test_llm_ports_include_the_endpoint_port_where_set() -> None:
    """LLM_ENDPOINT_PORT opens a second port, unless it names the first."""
    llm = configured_services({"LLM_ENDPOINT_PORT": "8008"})[0]
    assert llm.ports == (("LLM_SERVICE_PORT", 9002), ("LLM_ENDPOINT_PORT", 8008))
    same = configured_services({"LLM_ENDPOINT_PORT": "9002"})[0]
    assert same.ports == (("LLM_SERVICE_PORT", 9002),)


@pytest.mark.parametrize("text", ["0", "65536", "-1", "nine", "80.5"])
def test_configured_services_name_the_variable_for_a_bad_port(text: str) -> None:
    """The message names the variable and what was found."""
    with pytest.raises(ConfigurationError, match=f"GRADER_SERVICE_PORT is '{text}'"):
        configured_services({"GRADER_SERVICE_PORT": text})


def test_configured_services_report_every_bad_port_at_once() -> None:
    """Nobody mends one variable only to hear of the next."""
    with pytest.raises(ConfigurationError) as caught:
        configured_services({"LLM_SERVICE_PORT": "x", "MEGA_SERVICE_PORT": "y"})
    assert len(caught.value.problems) == 2


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000"),
        ("0.0.0.0", "http://127.0.0.1:8000"),  # noqa: S104 - only read
        ("::", "http://[::1]:8000"),
        ("192.168.1.2", "http://192.168.1.2:8000"),
    ],
)
def test_service_url_can_be_connected_to_for_every_bound_address(host: str, url: str) -> None:
    """0.0.0.0 is an address to bind, never one to call."""
    services = {service.name: service for service in configured_services({"MEGA_SERVICE_HOST": host})}
    gateway = services["gateway"]
    assert gateway.url == url


def test_read_variables_ignores_case_and_empty_values() -> None:
    """As the services' settings do."""
    variables = read_variables({"llm_service_port": "1001", "GRADER_SERVICE_PORT": ""})
    assert variables["LLM_SERVICE_PORT"] == "1001"
    assert "GRADER_SERVICE_PORT" not in variables


@pytest.mark.parametrize(
    "variables",
    [
        {},
        {"LLM_SERVER_PORT": "1001"},
        {"LLM_SERVICE_PORT": "1002", "LLM_SERVER_PORT": "1001", "LLM_ENDPOINT_PORT": "8008"},
        {"LLM_ENDPOINT_PORT": "9002", "LLM_SERVICE_HOST": "::1"},
        {"GRADER_SERVICE_PORT": "1003", "GRADER_SERVICE_HOST": "0.0.0.0"},  # noqa: S104 - only read
        {"RETRIEVER_SERVICE_PORT": "1005", "RETRIEVER_SERVICE_HOST": "::1"},
        {"MEGA_SERVICE_PORT": "1004", "MEGA_SERVICE_HOST": "192.168.1.2"},
        {"ASSISTANTS_PORT": "1006", "ASSISTANTS_HOST": "127.0.0.2"},
        {"llm_service_port": "1002", "MEGA_SERVICE_PORT": ""},
    ],
)
def test_configured_services_listen_where_their_own_settings_say(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The quick reader here and pydantic-settings there must never disagree."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    services = configured_services(read_variables())
    llm, gateway = load_settings(LLMSettings), load_settings(GatewaySettings)
    behind = (load_settings(GraderSettings), load_settings(RetrieverSettings))
    settings = (llm, *behind, gateway, load_settings(AssistantsSettings))
    assert [service.host for service in services] == [each.host for each in settings]
    assert [service.port for service in services] == [each.port for each in settings]
    assert [port for _, port in services[0].ports] == llm.ports


def test_service_survives_a_round_trip_through_json() -> None:
    """What `up` records is what `status` and `down` read."""
    for service in configured_services({"LLM_ENDPOINT_PORT": "8008"}):
        assert Service.from_dict(json.loads(json.dumps(service.as_dict()))) == service
