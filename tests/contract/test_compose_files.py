"""The compose files fit the specification, our settings and each other; no Docker is needed to see that."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from pydantic import AliasChoices, SecretStr

from megaservice.settings import GatewaySettings
from microservices.assistants.settings import AssistantsSettings
from microservices.grader.settings import GraderSettings
from microservices.llm.settings import LLMSettings
from microservices.retriever.settings import RetrieverSettings
from servicekit.environment import PROJECT_ROOT
from servicekit.settings import ServiceSettings, load_settings
from tests.support.compose import (
    COMPOSE,
    EMBEDDED,
    GPU,
    ROOT_COMPOSE,
    enabled,
    environment,
    load,
    ports,
    variable_names,
)

SETTINGS: dict[str, type[ServiceSettings]] = {
    "llm": LLMSettings,
    "grader": GraderSettings,
    "gateway": GatewaySettings,
    "retriever": RetrieverSettings,
    "assistants": AssistantsSettings,
}
OURS = [*SETTINGS, "model"]
#: What is read elsewhere than in settings: by http clients, OpenTelemetry, LiteLLM, PostgreSQL's and Ollama's images.
FOREIGN = re.compile(
    r"(https?|no)_proxy|OTEL_SDK_DISABLED|[A-Z_]+_API_KEY|POSTGRES_[A-Z]+|OLLAMA_[A-Z_]+", re.IGNORECASE
)


def _services(*files: Path, variables: Mapping[str, str] | None = None) -> dict[str, dict[str, Any]]:
    services: dict[str, dict[str, Any]] = load(COMPOSE, *files, variables=variables)["services"]
    return services


def _variables_of(settings: type[ServiceSettings]) -> set[str]:
    """Return the variables of a class of settings: a field's aliases, or else its own name."""
    names: set[str] = set()
    for field, info in settings.model_fields.items():
        alias = info.validation_alias
        choices = alias.choices if isinstance(alias, AliasChoices) else [alias or field.upper()]
        names.update(choice for choice in choices if isinstance(choice, str))
    return names


def _known_variables() -> set[str]:
    return {variable for settings in SETTINGS.values() for variable in _variables_of(settings)}


def _schema() -> dict[str, Any]:
    """Return the specification's schema; the package that carries it is not imported, since it is a CLI."""
    package = importlib.util.find_spec("check_jsonschema")
    assert package is not None
    assert package.origin is not None
    path = Path(package.origin).parent / "builtin_schemas" / "vendor" / "compose-spec.json"
    schema: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return schema


@pytest.mark.parametrize("path", [COMPOSE, ROOT_COMPOSE, EMBEDDED, GPU], ids=lambda path: path.stem)
def test_compose_file_fits_the_specification(path: Path) -> None:
    """As it is written, and with its variables filled in."""
    validator = jsonschema.Draft202012Validator(_schema())
    for document in (yaml.safe_load(path.read_text("utf-8")), load(path)):
        problems = [f"{list(error.path)}: {error.message}" for error in validator.iter_errors(document)]
        assert problems == []


def test_root_file_includes_the_other_under_the_same_name() -> None:
    """Both ways to name the file mean the same project, with the same volumes."""
    root = load(ROOT_COMPOSE)
    assert [PROJECT_ROOT / path for path in root["include"]] == [COMPOSE]
    assert root["name"] == load(COMPOSE)["name"]


@pytest.mark.parametrize(
    ("files", "profiles", "expected"),
    [
        ([], [], {"ollama", "model", "llm", "grader"}),
        ([], ["gateway"], {"ollama", "model", "llm", "grader", "gateway", "retriever"}),
        ([], ["all"], {"ollama", "model", "llm", "grader", "gateway", "retriever", "assistants"}),
        ([EMBEDDED], [], {"llm", "grader"}),
        ([EMBEDDED], ["all"], {"llm", "grader", "gateway", "retriever", "assistants"}),
        ([GPU], ["all", "postgres"], {*OURS, "ollama", "postgres"}),
    ],
    ids=["plain", "gateway", "all", "embedded", "embedded-all", "gpu-all-postgres"],
)
def test_profiles_start_these_services(files: list[Path], profiles: list[str], expected: set[str]) -> None:
    """Whom a started service cannot do without is started with it."""
    document = load(COMPOSE, *files)
    started = enabled(document, profiles)
    assert set(started) == expected
    for service in started.values():
        needs = service.get("depends_on", {}).items()
        assert {name for name, need in needs if need.get("required", True)} <= set(started)


def test_ports_without_any_variable_are_those_of_the_documentation() -> None:
    """Published on loopback alone, as the services themselves listen."""
    published = {name: port for name, service in _services().items() for port in ports(service)}
    assert {name: port.published for name, port in published.items()} == {
        "ollama": 8008,
        "llm": 9002,
        "grader": 9003,
        "gateway": 8000,
        "retriever": 7000,
        "assistants": 3000,
    }
    assert {port.address for port in published.values()} == {"127.0.0.1"}


def test_port_and_host_variables_say_where_this_machine_listens() -> None:
    """The same variables as without containers; inside, the ports stay."""
    variables = {"LLM_SERVICE_PORT": "19002", "LLM_SERVICE_HOST": "192.0.2.1", "LLM_ENDPOINT_PORT": "9000"}
    services = _services(variables=variables)
    assert [(p.address, p.published, p.target) for p in ports(services["llm"])] == [("192.0.2.1", 19002, 9002)]
    assert [(p.address, p.published, p.target) for p in ports(services["ollama"])] == [("127.0.0.1", 9000, 11434)]
    assert environment(services["llm"])["LLM_SERVICE_PORT"] == "9002"
    assert [p.published for p in ports(_services(variables={"LLM_SERVER_PORT": "7"})["llm"])] == [7]


@pytest.mark.parametrize("name", SETTINGS)
def test_environment_of_a_service_is_what_its_settings_know(name: str) -> None:
    """A renamed variable fails here; what other services are told by the same block may be there, too."""
    known = _known_variables()
    known |= {f"{variable}_IP" for variable in known if variable.endswith("_SERVICE_HOST")}
    given = _services()[name]["environment"]
    assert [variable for variable in given if variable not in known and not FOREIGN.fullmatch(variable)] == []


@pytest.mark.parametrize("files", [[], [EMBEDDED]], ids=["ollama", "embedded"])
@pytest.mark.parametrize("name", SETTINGS)
def test_settings_load_in_a_container_of_an_empty_environment(
    name: str, files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The service listens on all of the container's addresses, on the port that is published and asked for health."""
    service = _services(*files)[name]
    monkeypatch.delenv("RUNS_DIR", raising=False)
    for variable, value in environment(service).items():
        monkeypatch.setenv(variable, value)
    settings: Any = load_settings(SETTINGS[name])
    assert settings.host == "0.0.0.0"  # noqa: S104 - within the container
    assert {port.target for port in ports(service)} == {settings.port}
    assert service["healthcheck"]["test"][-1] == str(settings.port)
    assert settings.port == SETTINGS[name].model_fields["port"].default
    assert settings.drain_seconds < int(service["stop_grace_period"].removesuffix("s"))


def test_llm_and_grader_ask_the_ollama_that_the_job_pulls_into() -> None:
    """The address is the same at all three, and the port is the container's own."""
    services = _services(variables={"LLM_MODEL_ID": "qwen2.5:0.5b"})
    address = services["model"]["command"][-1]
    llm, grader = environment(services["llm"]), environment(services["grader"])
    assert (llm["LLM_ENDPOINT"], grader["GRADER_LLM_ENDPOINT"]) == (address, address)
    assert (llm["LLM_MODEL_ID"], grader["GRADER_MODEL_ID"]) == ("qwen2.5:0.5b", "qwen2.5:0.5b")
    assert address == f"http://ollama:{ports(services['ollama'])[0].target}"


def test_embedded_services_have_no_endpoint_unless_it_is_set() -> None:
    """models.json answers then, and the LLM service listens on LLM_ENDPOINT_PORT in Ollama's place."""
    services = _services(EMBEDDED)
    assert [environment(services[name])["LLM_ENDPOINT"] for name in ("llm", "gateway")] == ["", ""]
    assert environment(services["grader"])["GRADER_LLM_ENDPOINT"] == ""
    assert [(port.published, port.target) for port in ports(services["llm"])] == [(9002, 9002), (8008, 9002)]


def test_gateway_finds_every_service_of_the_pipelines() -> None:
    """Each host variable of a pipeline file names a service of the compose file, its port variable that one's port."""
    services = _services()
    told = environment(services["gateway"])
    text = "".join(path.read_text("utf-8") for path in sorted((PROJECT_ROOT / "compose" / "pipelines").glob("*.yaml")))
    for host in sorted(name for name in variable_names(text) if name.endswith("_HOST_IP")):
        assert told[host] in services
        assert int(told[host.replace("_HOST_IP", "_PORT")]) == ports(services[told[host]])[0].target


def test_assistants_have_a_database_of_their_own_or_postgres() -> None:
    """A password is enough to change over; an address of one's own wins."""
    assert environment(_services()["assistants"])["DATABASE_URL"] == ""
    with_password = environment(_services(variables={"POSTGRES_PASSWORD": "pw"})["assistants"])["DATABASE_URL"]
    assert with_password == "postgresql://assistants:pw@postgres:5432/assistants"
    assert AssistantsSettings(database_url=SecretStr(with_password)).database == with_password
    own = {"POSTGRES_PASSWORD": "pw", "DATABASE_URL": "postgresql://me@db/x"}
    assert environment(_services(variables=own)["assistants"])["DATABASE_URL"] == own["DATABASE_URL"]


def test_services_never_call_each_other_through_a_proxy() -> None:
    """The proxies of the shell are passed on, if there are any, with every service's name as an exception."""
    services = _services(variables={"NO_PROXY": "example.com"})
    for name in [*OURS, "ollama"]:
        given = services[name]["environment"]
        assert [given[proxy] for proxy in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY")] == [None] * 4
        assert given["no_proxy"] == given["NO_PROXY"]
        assert {"localhost", "127.0.0.1", "example.com", *services} - {"model"} <= set(given["no_proxy"].split(","))


@pytest.mark.parametrize("name", OURS)
def test_telemetry_is_off(name: str) -> None:
    """TELEMETRY_ENDPOINT is not even set to nothing, since that would switch it on in comps."""
    given = _services()[name]["environment"]
    assert "TELEMETRY_ENDPOINT" not in given
    assert given["OTEL_SDK_DISABLED"] == "true"


def test_images_are_pinned() -> None:
    """Ours is built here; of the others each has the tag of one release."""
    for name, service in _services().items():
        image, _, tag = service["image"].partition(":")
        assert tag
        assert tag != "latest"
        assert (image == "megaservice" and "build" in service) or re.match(r"\d+\.\d+", tag), name


@pytest.mark.parametrize("name", sorted(_services()))
def test_service_is_confined(name: str) -> None:
    """No capabilities, no new privileges, bounded logs; ours run as nobody on a file system that they cannot write."""
    service = _services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["logging"] == {"driver": "json-file", "options": {"max-size": "10m", "max-file": "5"}}
    if name != "ollama":  # its image keeps the models in root's home
        assert service["read_only"] is True
        assert int(service["user"].split(":")[0]) > 0


@pytest.mark.parametrize("name", sorted(set(_services()) - {"model"}))
def test_long_running_service_is_watched_and_restarted(name: str) -> None:
    """It has a health check, comes back after a crash and a reboot, and has its time to end."""
    service = _services()[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert service["restart"] == "unless-stopped"
    assert int(service["stop_grace_period"].removesuffix("s")) > 30


def test_job_that_pulls_models_ends_and_is_waited_for() -> None:
    """`up --wait` takes a job that ended for a failure unless somebody waits for it in this way."""
    services = _services()
    assert services["model"]["restart"] == "no"
    for name in ("llm", "grader"):
        assert services[name]["depends_on"]["model"] == {"condition": "service_completed_successfully"}


def test_variables_of_the_compose_files_are_documented() -> None:
    """Each that a user may set is one of our settings, or in `.env.example` or docs/containers.md."""
    documented = "".join((PROJECT_ROOT / name).read_text("utf-8") for name in (".env.example", "docs/containers.md"))
    documented += " ".join(_known_variables())
    files = (COMPOSE, EMBEDDED, GPU, ROOT_COMPOSE)
    names = set().union(*(variable_names(path.read_text("utf-8")) for path in files))
    assert sorted(name for name in names if not re.search(rf"\b{name}\b", documented, re.IGNORECASE)) == []
