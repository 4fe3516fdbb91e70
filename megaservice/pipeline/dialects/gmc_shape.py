"""The shape of a `GMConnector` resource, as its definition in Kubernetes has it (gmc.opea.io/v1alpha3).

Source: microservices-connector/config/crd of https://github.com/opea-project/GenAIInfra.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

GROUP = "gmc.opea.io/"
API_VERSION = f"{GROUP}v1alpha3"
KIND = "GMConnector"
#: The router where every request begins.
ROOT = "root"
#: What a step may get: the request of its router, or what the step before it answered.
REQUEST_DATA, RESPONSE_DATA = "$request", "$response"


class RouterType(StrEnum):
    """How a router goes through its steps."""

    #: One after the other.
    SEQUENCE = "Sequence"
    #: All at the same time.
    ENSEMBLE = "Ensemble"
    #: The first whose condition holds.
    SWITCH = "Switch"


class StepDependency(StrEnum):
    """What a step's failure means."""

    SOFT = "Soft"
    HARD = "Hard"


def _data(value: object) -> object:
    known = isinstance(value, str) and value in ("", REQUEST_DATA, RESPONSE_DATA)
    if isinstance(value, str) and not known and not value.startswith(f"{RESPONSE_DATA}."):
        raise ValueError(f"'{value}' is no data of a step; write '{RESPONSE_DATA}', '{REQUEST_DATA}' or leave it out.")
    return value


class _Shape(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class InternalService(_Shape):
    """A service in the same cluster."""

    serviceName: str = ""
    nameSpace: str = ""
    config: dict[str, Any] = Field(default_factory=dict)
    isDownstreamService: bool = False


class Step(_Shape):
    """One step: a service, or another router."""

    name: str = ""
    nodeName: str = ""
    internalService: InternalService | None = None
    externalService: str = ""
    data: Annotated[str, BeforeValidator(_data)] = ""
    condition: str = ""
    dependency: StepDependency | None = None
    serviceUrl: str = ""

    @property
    def is_called_by_others(self) -> bool:
        """Whether another service calls this one, not the pipeline."""
        return self.internalService is not None and self.internalService.isDownstreamService


class Router(_Shape):
    """A group of steps."""

    routerType: RouterType
    steps: tuple[Step, ...] = ()
