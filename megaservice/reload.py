"""Takes over pipeline files as they are saved; see docs/decisions/0012-hot-reload.md."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from megaservice.pipeline_files import folder_stamps, read_folder
from megaservice.served import ServedPipelines

logger = logging.getLogger(__name__)

#: How often the folder is looked at.
POLL_SECONDS = 0.25
#: A save is over when nothing has changed for this long.
_QUIET_SECONDS = 0.1


@asynccontextmanager
async def reloading(
    served: ServedPipelines,
    folder: Path,
    variables: Callable[[], Mapping[str, str]],
    poll_seconds: float = POLL_SECONDS,
) -> AsyncIterator[None]:
    """Watch the folder for as long as the context lasts.

    Args:
        served: Takes what was saved.
        folder: Where the pipeline files are.
        variables: Returns what fills `${VAR:-default}`.
        poll_seconds: How often to look.
    """
    watching = asyncio.create_task(_watch(served, folder, variables, poll_seconds), name="pipeline files")
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching


async def _watch(
    served: ServedPipelines, folder: Path, variables: Callable[[], Mapping[str, str]], poll_seconds: float
) -> None:
    while True:
        await asyncio.sleep(poll_seconds)
        try:
            if await asyncio.to_thread(folder_stamps, folder) != served.stamps:
                await _until_quiet(folder)
                served.take(await asyncio.to_thread(read_folder, folder, variables))
        except Exception:  # an outer border: without it, one surprise would end the watching for good
            logger.exception("the pipeline files in %s could not be taken over; those that run go on", folder)


async def _until_quiet(folder: Path) -> None:
    """Wait until nobody writes: editors save in several steps, and several files belong together."""
    stamps = None
    while (now := await asyncio.to_thread(folder_stamps, folder)) != stamps:
        stamps = now
        await asyncio.sleep(_QUIET_SECONDS)
