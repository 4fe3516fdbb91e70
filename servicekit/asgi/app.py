"""The ASGI application that every service starts from: OPEA's routes, OpenAI's errors, the house's limits.

The routes are those of comps' `HTTPService`: `/v1/health_check`, `/health`, `/v1/statistics`, `/metrics`; and
`/ready`, which names the hard dependency that is not there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from fastapi import FastAPI
from fastapi.responses import ORJSONResponse, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from servicekit.asgi.api_keys import ApiKeyMiddleware
from servicekit.asgi.body_limit import BodyLimitMiddleware
from servicekit.asgi.errors import ErrorBoundary, install_error_handlers
from servicekit.asgi.exchange import ExchangeMiddleware
from servicekit.asgi.metrics import HttpMetrics
from servicekit.asgi.metrics_page import metrics_page
from servicekit.secret_mask import known_secrets
from servicekit.settings import ServiceSettings
from servicekit.version import VERSION

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]
#: Returns one sentence per hard dependency that is not there; empty means ready.
ReadinessCheck = Callable[[], Awaitable[Sequence[str]]]


class _ServiceApp(FastAPI):
    """FastAPI without Starlette's outermost layer: what that answers is answered by `ErrorBoundary`.

    It would cost every request a layer, and every event of every stream.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request: what FastAPI and Starlette do before their layers."""
        scope["app"] = self
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        await self.middleware_stack(scope, receive, send)

    def build_middleware_stack(self) -> ASGIApp:
        """Return the layers, ours the outermost."""
        outermost = super().build_middleware_stack()
        assert isinstance(outermost, ServerErrorMiddleware)  # as Starlette has it  # noqa: S101
        return outermost.app


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What `/v1/health_check` tells about a service."""

    title: str
    description: str
    version: str = VERSION


def create_service_app(
    info: ServiceInfo,
    settings: ServiceSettings,
    lifespan: Lifespan,
    readiness: ReadinessCheck,
    registries: Sequence[CollectorRegistry] = (),
    layers: Sequence[Middleware] = (),
) -> FastAPI:
    """Build the application; the caller adds its own routes.

    Args:
        info: Title, description and version of the service.
        settings: Limits, keys and origins.
        lifespan: Opens and closes what the routes need.
        readiness: Asked by `GET /ready`.
        registries: More Prometheus registries that `/metrics` shows.
        layers: What answers before the router, inside the errors' border and the limits.
    """
    metrics = HttpMetrics()
    app = _ServiceApp(
        title=info.title,
        description=info.description,
        version=info.version,
        lifespan=lifespan,
        middleware=[*_middleware(settings, metrics), *layers],
        default_response_class=ORJSONResponse,
    )
    install_error_handlers(app)
    _add_health_routes(app, info, readiness)
    _add_metrics_routes(app, metrics, registries)
    return app


def _middleware(settings: ServiceSettings, metrics: HttpMetrics) -> list[Middleware]:
    """Return the layers, outermost first."""
    layers = [Middleware(ExchangeMiddleware, metrics=metrics)]
    if settings.cors_origins:
        layers.append(
            Middleware(CORSMiddleware, allow_origins=settings.cors_origins, allow_methods=["*"], allow_headers=["*"])
        )
    layers.append(Middleware(ErrorBoundary))
    if settings.api_keys:
        layers.append(Middleware(ApiKeyMiddleware, keys=settings.api_keys))
    layers.append(Middleware(BodyLimitMiddleware, max_bytes=settings.max_body_bytes))
    return layers


def _add_health_routes(app: FastAPI, info: ServiceInfo, readiness: ReadinessCheck) -> None:
    @app.get("/v1/health_check", tags=["health"], summary="What this service is")
    async def health_check() -> dict[str, str]:
        return {
            "Service Title": info.title,
            "Version": info.version,
            "Service Description": info.description,
        }

    @app.get("/health", tags=["health"], summary="Liveness: the process answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/ready", tags=["health"], summary="Readiness: every hard dependency is there")
    async def ready() -> Response:
        # Open without a key; another service's words are among them.
        problems = [known_secrets().masked(problem) for problem in await readiness()]
        if problems:
            return ORJSONResponse({"status": "not ready", "problems": problems}, status_code=503)
        return ORJSONResponse({"status": "ready"})


def _add_metrics_routes(app: FastAPI, metrics: HttpMetrics, registries: Sequence[CollectorRegistry]) -> None:
    @app.get("/metrics", tags=["health"], summary="Prometheus metrics")
    def show_metrics() -> Response:  # in a thread: prometheus_client reads files of /proc
        return Response(metrics_page([metrics.registry, *registries]), media_type=CONTENT_TYPE_LATEST)

    @app.get("/v1/statistics", tags=["health"], summary="Latencies by route, in seconds")
    async def statistics() -> dict[str, dict[str, float | None]]:
        return metrics.statistics()
