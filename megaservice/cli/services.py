"""The services that `up` starts: one table, and where each one listens.

The ports come from the variables that the services themselves read, names in any case, as pydantic-settings does it.
They are read without pydantic here, since `up`, `down` and `status` would spend more time on importing it than on their
work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

from servicekit.errors import ConfigurationError

_MAX_PORT = 65535


@dataclass(frozen=True, slots=True)
class ServiceDefinition:
    """One row of the table of services."""

    #: What the user calls it in `logs`, `status` and log files.
    name: str
    #: What follows `python -m`.
    arguments: tuple[str, ...]
    #: The first of these that is set names the port.
    port_variables: tuple[str, ...]
    default_port: int
    host_variable: str
    #: A port that the service listens on besides, where this is set.
    extra_port_variable: str | None = None


#: In the order of starting: what others call comes first. Stopping goes the other way round.
SERVICES = (
    ServiceDefinition(
        name="llm",
        arguments=("microservices.llm",),
        port_variables=("LLM_SERVICE_PORT", "LLM_SERVER_PORT"),
        default_port=9002,
        host_variable="LLM_SERVICE_HOST",
        extra_port_variable="LLM_ENDPOINT_PORT",
    ),
    ServiceDefinition(
        name="grader",
        arguments=("microservices.grader",),
        port_variables=("GRADER_SERVICE_PORT",),
        default_port=9003,
        host_variable="GRADER_SERVICE_HOST",
    ),
    ServiceDefinition(
        name="retriever",
        arguments=("microservices.retriever",),
        port_variables=("RETRIEVER_SERVICE_PORT",),
        default_port=7000,
        host_variable="RETRIEVER_SERVICE_HOST",
    ),
    ServiceDefinition(
        name="gateway",
        arguments=("megaservice", "serve"),
        port_variables=("MEGA_SERVICE_PORT",),
        default_port=8000,
        host_variable="MEGA_SERVICE_HOST",
    ),
    ServiceDefinition(
        name="assistants",
        arguments=("microservices.assistants",),
        port_variables=("ASSISTANTS_PORT",),
        default_port=3000,
        host_variable="ASSISTANTS_HOST",
    ),
)


@dataclass(frozen=True, slots=True)
class Service:
    """A service with the place where it listens."""

    name: str
    arguments: tuple[str, ...]
    #: The address it binds; 0.0.0.0 means all.
    host: str
    port: int
    #: The variable that changes the port, for messages.
    port_variable: str
    #: Further ports, each with its variable.
    extra_ports: tuple[tuple[str, int], ...] = ()

    @property
    def address(self) -> str:
        """Where this machine reaches it: an address that can be connected to."""
        return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self.host, self.host)  # noqa: S104 - read, not bound

    @property
    def url(self) -> str:
        """`http://<address>:<port>`."""
        return f"http://{f'[{self.address}]' if ':' in self.address else self.address}:{self.port}"

    @property
    def ports(self) -> tuple[tuple[str, int], ...]:
        """Every port that it binds, each with the variable that changes it."""
        return ((self.port_variable, self.port), *self.extra_ports)

    def as_dict(self) -> dict[str, object]:
        """Return what `from_dict` takes."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Service:
        """Rebuild a service from `as_dict`, after a round trip through JSON."""
        pairs = values["extra_ports"]
        arguments = values["arguments"]
        if not isinstance(pairs, list) or not isinstance(arguments, list):
            raise TypeError("extra_ports and arguments must be lists")
        return cls(
            name=str(values["name"]),
            arguments=tuple(str(argument) for argument in arguments),
            host=str(values["host"]),
            port=int(str(values["port"])),
            port_variable=str(values["port_variable"]),
            extra_ports=tuple((str(variable), int(port)) for variable, port in pairs),
        )


def configured_services(
    variables: Mapping[str, str], definitions: Iterable[ServiceDefinition] = SERVICES
) -> list[Service]:
    """Say where each service of the table listens.

    Raises:
        ConfigurationError: A port is no number between 1 and 65535; every problem is in it.
    """
    problems: list[str] = []
    services = [_configure(definition, variables, problems) for definition in definitions]
    if problems:
        raise ConfigurationError(*problems)
    return services


def _configure(definition: ServiceDefinition, variables: Mapping[str, str], problems: list[str]) -> Service:
    variable = next((name for name in definition.port_variables if name in variables), definition.port_variables[0])
    extra = definition.extra_port_variable
    port = _port(variable, variables.get(variable, str(definition.default_port)), problems)
    extra_ports = ((extra, _port(extra, variables[extra], problems)),) if extra and extra in variables else ()
    return Service(
        name=definition.name,
        arguments=definition.arguments,
        host=variables.get(definition.host_variable, "127.0.0.1"),
        port=port,
        port_variable=variable,
        extra_ports=tuple(pair for pair in extra_ports if pair[1] != port),
    )


def _port(variable: str, text: str, problems: list[str]) -> int:
    try:
        port = int(text)
    except ValueError:
        port = 0
    if not 1 <= port <= _MAX_PORT:
        problems.append(f"{variable} is {text!r}: a port number between 1 and {_MAX_PORT} is needed.")
    return port
