"""The gateway process: settings and pipelines in, one ASGI application out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from prometheus_client import REGISTRY
from starlette.middleware import Middleware

from megaservice.gateway import Gateway
from megaservice.nodes.readiness import absent_services
from megaservice.pipeline.pipeline import Pipeline
from megaservice.pipeline_files import read_folder
from megaservice.recording import make_recorder, recording
from megaservice.reload import reloading
from megaservice.routes.about import about_router
from megaservice.routes.chat import chat_router
from megaservice.routes.health import health_router
from megaservice.routes.models import models_router
from megaservice.routes.openapi import describe_pipelines
from megaservice.routes.pipelines import PipelineLayer
from megaservice.served import ServedPipelines
from megaservice.settings import GatewaySettings, pipeline_variables
from megaservice.start_warning import warning_of_absent_nodes
from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.environment import read_variables
from servicekit.http.client import HttpClient
from servicekit.model_settings import catalog_from
from servicekit.secret_mask import known_secrets
from servicekit.server import serve_app

INFO = ServiceInfo(
    title="megaservice/Gateway",
    description="Runs pipelines of GenAI microservices and streams their answers.",
)


def create_app(settings: GatewaySettings) -> FastAPI:
    """Build the gateway's application.

    Raises:
        ConfigurationError: models.json or a pipeline file cannot be used; every problem is in it.
    """
    known_secrets().add_variables(read_variables())
    catalog = catalog_from(settings)
    http = HttpClient(transport=settings.http_transport)
    recorder = make_recorder(settings, catalog)

    def make_gateway(pipeline: Pipeline) -> Gateway:
        return Gateway(pipeline, http, settings.request_timeout_seconds, recorder.put if recorder else None)

    served = ServedPipelines(make_gateway, catalog.names)
    served.start(read_folder(settings.pipelines_dir, pipeline_variables))

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as held:
            if recorder is not None:
                await held.enter_async_context(recording(recorder))
            await held.enter_async_context(http)
            if settings.pipelines_reload:
                await held.enter_async_context(reloading(served, settings.pipelines_dir, pipeline_variables))
            await held.enter_async_context(warning_of_absent_nodes(readiness))
            yield

    async def readiness() -> list[str]:
        return await absent_services(http, [need for gateway in served.table.gateways for need in gateway.needs()])

    # comps registers its metrics with prometheus_client's own registry.
    # Before the router; no pipeline can take a path of the gateway's own.
    layer = Middleware(PipelineLayer, served=served)
    app = create_service_app(INFO, settings, lifespan, readiness, registries=[REGISTRY], layers=[layer])
    app.state.served = served
    app.include_router(about_router(served))
    app.include_router(models_router(catalog, served))
    app.include_router(chat_router(catalog, served))
    app.include_router(health_router())
    describe_pipelines(app, served)
    return app


def serve_alone(settings: GatewaySettings) -> int:
    """Serve the gateway in this process until SIGTERM; return the exit code.

    Raises:
        ConfigurationError: Something in the configuration cannot be used, or the port cannot be had.
    """
    return serve_app(create_app(settings), settings.host, [settings.port], settings.drain_seconds)
