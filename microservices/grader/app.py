"""The grader as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from fastapi import FastAPI

from microservices.grader.evidence import Limits
from microservices.grader.judging import Judge
from microservices.grader.routes import grader_routes
from microservices.grader.rubric import FixedRubric, GeneralRubric
from microservices.grader.settings import GraderSettings, catalog_of
from servicekit.asgi.app import ServiceInfo, create_service_app
from servicekit.engines.base import Engine
from servicekit.engines.registry import EngineRegistry
from servicekit.http.client import HttpClient
from servicekit.model_profile import ModelProfile, load_profile
from servicekit.models import BUNDLED_MODELS, ModelCatalog
from servicekit.ollama.routes import add_ollama_routes

INFO = ServiceInfo(
    title="grader",
    description="Judges a candidate against its source: a score in 0..1 with feedback, or null with the reason.",
)


def create_app(settings: GraderSettings) -> FastAPI:
    """Build the application; its engine starts with the lifespan.

    Raises:
        ConfigurationError: models.json cannot be used or does not know GRADER_MODEL_ID.
    """
    catalog = catalog_of(settings)
    bundled = _bundled_profile(catalog)
    client = HttpClient(transport=settings.http_transport)
    engines = EngineRegistry(catalog, client, [catalog.default_name])

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with client:
            await engines.start()
            try:
                engine = engines.engine_for(None)
                app.state.judge = judge_with(engine, engine.profile or bundled, settings)
                yield
            finally:
                await engines.close()

    async def readiness() -> Sequence[str]:
        judge: Judge = app.state.judge
        problem = await judge.problem()
        return [problem] if problem else []

    app = create_service_app(INFO, settings, lifespan, readiness)
    app.include_router(grader_routes())
    add_ollama_routes(app, engines, client)
    return app


def judge_with(engine: Engine, profile: ModelProfile | None, settings: GraderSettings) -> Judge:
    """Return the judge for a started engine, asking in the way that its model wants."""
    limits = Limits(settings.max_source_chars, settings.max_candidate_chars)
    if profile is None:
        return Judge(engine, GeneralRubric(limits), None)
    rubric = FixedRubric(profile.grading, limits) if profile.grading else GeneralRubric(limits)
    return Judge(engine, rubric, profile.out_of_domain)


def _bundled_profile(catalog: ModelCatalog) -> ModelProfile | None:
    """Return the profile of a model that ships with the project, for where an upstream serves it."""
    path = BUNDLED_MODELS.get(catalog.find(None).model)
    return load_profile(path) if path is not None else None
