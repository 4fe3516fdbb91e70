"""Which pipeline answers a request: a table that is never changed, only replaced as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from megaservice.gateway import Gateway
from servicekit.errors import InvalidRequestError, ModelNotFoundError, ServiceError
from servicekit.nearest import nearest

#: OpenAI's path: here the request's `model` may name a pipeline.
CHAT_COMPLETIONS = "/v1/chat/completions"

_MODEL_NOT_FOUND = ModelNotFoundError.default_code


class RoutingTable:
    """The gateways at one moment. A request keeps the table with which it began.

    Args:
        gateways: In the order of their files; no two have one name or one endpoint.
        models: The names in models.json, for messages.
    """

    def __init__(self, gateways: Sequence[Gateway], models: Sequence[str] = ()) -> None:
        self.gateways = tuple(gateways)
        self.by_name = MappingProxyType({gateway.name: gateway for gateway in gateways})
        endpoints = {path: gateway for gateway in gateways for path in gateway.pipeline.spec.endpoints}
        self.by_endpoint = MappingProxyType(endpoints)
        self._models = tuple(models)
        self._paths = frozenset(endpoints) | ({CHAT_COMPLETIONS} if gateways else frozenset())

    @property
    def default(self) -> Gateway | None:
        """The pipeline of whoever names none: the one at `/v1/chat/completions`, or the only one."""
        only = self.gateways[0] if len(self.gateways) == 1 else None
        return self.by_endpoint.get(CHAT_COMPLETIONS, only)

    def has(self, path: str) -> bool:
        """Return whether a pipeline answers at this path."""
        return path in self._paths

    def pick(self, path: str, model: str | None) -> Gateway:
        """Return the pipeline that a request is for.

        Args:
            path: One that the table has.
            model: The request's; on `/v1/chat/completions` it may name a pipeline.

        Raises:
            ModelNotFoundError: No pipeline is at `/v1/chat/completions`, and the model names none.
        """
        if path != CHAT_COMPLETIONS:
            return self.by_endpoint[path]
        gateway = self.by_name.get(model) if model else None
        gateway = gateway or self.default
        if gateway is None:
            raise ModelNotFoundError(model or "", list(self.by_name))
        return gateway

    def explained(self, error: ServiceError, model: str | None) -> ServiceError:
        """Return the error of a run; one about an unknown model says what may have been meant.

        The node that refused it knows its own models, but neither the aliases here nor the pipelines.
        """
        if error.code != _MODEL_NOT_FOUND or not model:
            return error
        if model in self.by_name:
            own = ", ".join(self.by_name[model].pipeline.spec.endpoints)
            message = f"'{model}' is a pipeline: ask for it on {CHAT_COMPLETIONS}, or at {own}."
            return InvalidRequestError(message, param="model", code=error.code)
        meant = nearest(model, [*self.by_name, *self._models])
        pipelines = f"Pipelines are models too, on {CHAT_COMPLETIONS}: {', '.join(self.by_name)}."
        return InvalidRequestError(f"{error.message}{meant} {pipelines}", param="model", code=error.code)
