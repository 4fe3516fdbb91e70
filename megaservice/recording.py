"""The gateway's run records: started with the gateway, flushed when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from megaservice.interactions import Interaction, InteractionEncoder
from megaservice.known_providers import remembering
from megaservice.routes.chat_answer import provider_of
from megaservice.settings import GatewaySettings
from servicekit.environment import PROJECT_ROOT
from servicekit.models import ModelCatalog
from servicekit.records.line_writer import LineWriter
from servicekit.records.manifest import ManifestSource
from servicekit.records.run_folder import RunFolder, new_run_id
from servicekit.secret_mask import known_secrets


def make_recorder(settings: GatewaySettings, catalog: ModelCatalog) -> LineWriter[Interaction] | None:
    """Return what records the gateway's requests; None where RUNS_DIR is empty."""
    if settings.runs_dir is None:
        return None
    run_id = new_run_id()
    manifest = ManifestSource(run_id, "gateway", _config(settings), PROJECT_ROOT)
    folder = RunFolder(PROJECT_ROOT / settings.runs_dir / run_id, manifest)
    known_provider_of = remembering(partial(provider_of, catalog))
    encode = InteractionEncoder(known_provider_of, known_secrets().masked, log_messages=settings.log_messages)
    return LineWriter(encode, folder.append, folder.close, prepare=folder.prepare)


@asynccontextmanager
async def recording(recorder: LineWriter[Interaction]) -> AsyncIterator[None]:
    """Write what is recorded; at the end, what still waits."""
    recorder.start()
    try:
        yield
    finally:
        await asyncio.to_thread(recorder.close)


def _config(settings: GatewaySettings) -> dict[str, Any]:
    """Return the settings; secrets among them are masked, and so are those in URLs."""
    mask = known_secrets()
    values: dict[str, Any] = settings.model_dump(mode="json")
    return {name: mask.masked(value) if isinstance(value, str) else value for name, value in values.items()}
