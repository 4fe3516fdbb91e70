"""The gateway process: settings and pipelines in, one ASGI application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import REGISTRY

from megaservice.gateway import Gateway
from megaservice.pipeline.loader import load_pipelines
from megaservice.routes.models import models_router
from megaservice.routes.pipelines import pipeline_router
from megaservice.settings import GatewaySettings, pipeline_variables
from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.http.client import HttpClient
from servicekit.logs import configure_logging
from servicekit.model_settings import catalog_from
from servicekit.server import run_process, serve_app
from servicekit.settings import load_settings

INFO = ServiceInfo(
    title="megaservice/Gateway",
    description="Runs pipelines of GenAI microservices and streams their answers.",
)


def create_app(settings: GatewaySettings) -> FastAPI:
    """Build the gateway's application.

    Raises:
        ConfigurationError: models.json or a pipeline file cannot be used; every problem is in it.
    """
    catalog = catalog_from(settings)
    pipelines = load_pipelines(settings.pipelines_dir, pipeline_variables())
    http = HttpClient()
    gateways = [Gateway(pipeline, http, settings.request_timeout_seconds) for pipeline in pipelines]

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with http:
            yield

    async def readiness() -> list[str]:
        return list(dict.fromkeys([problem for gateway in gateways for problem in await gateway.problems()]))

    # comps registers its metrics with prometheus_client's own registry.
    app = create_service_app(INFO, settings, lifespan, readiness, registries=[REGISTRY])
    app.include_router(pipeline_router(gateways))
    app.include_router(models_router(catalog))
    return app


def serve() -> int:
    """Serve the gateway in the foreground until SIGTERM; return the process's exit code."""
    return run_process(_serve)


def _serve() -> int:
    settings = load_settings(GatewaySettings)
    configure_logging("gateway", settings.log_level)
    return serve_app(create_app(settings), settings.host, [settings.port], settings.drain_seconds)
