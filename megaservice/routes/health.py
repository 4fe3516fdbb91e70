"""`GET /healthz`: whether the process answers; `/ready` says whether it can answer requests, too."""

from __future__ import annotations

from fastapi import APIRouter


def health_router() -> APIRouter:
    """Build the route that probes ask; it needs no key."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="Liveness, under the name that Kubernetes uses")
    async def healthz() -> dict[str, str]:
        return {"status": "ok"}

    return router
