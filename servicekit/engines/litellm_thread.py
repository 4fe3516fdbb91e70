"""Runs LiteLLM: imported late, and in an event loop of its own thread.

The import takes seconds, the first call of each provider imports more, and parts of the library read files: none of
that may stop the service's event loop. Why the library is optional: docs/decisions/0014-litellm.md.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
import logging
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from servicekit.errors import ConfigurationError

ResultType = TypeVar("ResultType")

INSTALL_COMMAND = ".venv/bin/python -m pip install --require-hashes --no-deps -r requirements-litellm.lock"
#: What the library must know before its import: prices come with it and not from the network, `.env` is ours to read.
_ENVIRONMENT = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_MODE": "PRODUCTION"}
_CLOSE_SECONDS = 5.0


class LiteLLMThread:
    """The library and the thread that it runs in; one for all engines of a process."""

    def __init__(self) -> None:
        self._library: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> Any:  # noqa: ANN401 - the library's types are not installed where it is not
        """Import the library and start the thread; returns the library. Calling it again costs nothing.

        Raises:
            ConfigurationError: It is not installed; the message has the command that does.
        """
        async with self._starting:
            if self._library is None:
                self._library = await asyncio.to_thread(_import_library)
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="litellm", daemon=True)
                self._thread.start()
            return self._library

    async def run(self, work: Coroutine[Any, Any, ResultType]) -> ResultType:
        """Run a coroutine of the library in its thread; cancelling this cancels it there."""
        if self._loop is None:
            work.close()
            raise RuntimeError("LiteLLM's thread is not running")
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._loop))

    async def close(self) -> None:
        """Close the library's connections and end the thread."""
        loop, self._loop = self._loop, None
        if loop is None or self._thread is None:
            return
        closing = asyncio.run_coroutine_threadsafe(_close_connections(self._library), loop)
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_SECONDS):
                await asyncio.wrap_future(closing)
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(self._thread.join, _CLOSE_SECONDS)
        if not loop.is_running():
            loop.close()
        self._library = None


def _import_library() -> Any:  # noqa: ANN401 - see LiteLLMThread.start
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        library: Any = importlib.import_module("litellm")
    except ImportError as exc:
        raise ConfigurationError(f"LiteLLM cannot be imported ({exc}). Install it: {INSTALL_COMMAND}") from exc
    library.suppress_debug_info = True
    library.telemetry = False
    library.disable_hf_tokenizer_download = True  # to count tokens that the provider has counted
    library.disable_streaming_logging = True
    library.turn_off_message_logging = True
    library.DEFAULT_MAX_RETRIES = 0  # embeddings take 0 for "as many as usual"
    library.drop_params = True  # a parameter that a provider lacks is no reason to refuse the request
    for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # its errors are ours to tell, without keys
    return library


async def _close_connections(library: Any) -> None:  # noqa: ANN401 - see LiteLLMThread.start
    await library.close_litellm_async_clients()
    for client in library.in_memory_llm_clients_cache.cache_dict.values():
        close = getattr(client, "close", None)  # OpenAI's clients, which the library forgets
        if inspect.iscoroutinefunction(close):
            await close()
    library.in_memory_llm_clients_cache.flush_cache()
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
