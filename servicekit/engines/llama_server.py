"""Keeps llama.cpp running for one model: starts it, starts it again when it crashes, ends it."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from pathlib import Path

from servicekit.engines.gguf import GgufFacts
from servicekit.engines.llama_process import (
    EmbeddedOptions,
    LlamaProcess,
    LlamaStartError,
    start_llama_process,
)
from servicekit.errors import ConfigurationError

_log = logging.getLogger(__name__)

#: Waits before a start after a crash: the first one, doubled each time, at most the second.
_FIRST_WAIT_SECONDS = 0.1
_LONGEST_WAIT_SECONDS = 10.0
#: Threads of one model wait for each other in busy loops: with a model this small they cost more than they bring
#: (measured on two busy cores: 2,500 tokens/s with one thread, 500 with two; alike on idle ones).
_SMALL_MODEL_BYTES = 64 * 1024 * 1024
#: A process that lived this long has earned the first wait again.
_STABLE_SECONDS = 60.0


class LlamaServer:
    """Supervises the child process of one model.

    Args:
        path: The GGUF file.
        name: What answers carry as `model`.
        options: Threads, slots, limits.
    """

    def __init__(self, path: Path, name: str, options: EmbeddedOptions) -> None:
        self._path = path
        self._name = name
        self._options = options
        self._context_tokens = options.max_context_tokens
        self._process: LlamaProcess | None = None
        self._changed = asyncio.Event()
        self._problem: str | None = f"llama.cpp has not been started for model '{name}'"
        self._supervisor: asyncio.Task[None] | None = None

    @property
    def process(self) -> LlamaProcess | None:
        """The running child; None while there is none."""
        return self._process

    @property
    def problem(self) -> str | None:
        """Why there is no running child, None if there is one."""
        return self._problem

    async def start(self, facts: GgufFacts) -> None:
        """Start the child, and a task that watches it.

        Args:
            facts: Of the model file.

        Raises:
            ConfigurationError: llama.cpp cannot load the model.
        """
        own_tokens = facts.context_tokens or self._options.max_context_tokens
        self._context_tokens = min(own_tokens, self._options.max_context_tokens)
        if self._options.threads is None and facts.size_bytes < _SMALL_MODEL_BYTES:
            self._options = replace(self._options, threads=1)
        started = time.monotonic()
        try:
            process = await self._start_process()
        except LlamaStartError as exc:
            raise ConfigurationError(
                f"{self._path}: llama.cpp cannot load it: {exc}. "
                "Restore the file, or name another in compose/models.json."
            ) from exc
        _log.info(
            "model '%s' is served by llama.cpp (process %d, started in %.2f s)",
            *(self._name, process.pid, time.monotonic() - started),
        )
        self._supervisor = asyncio.create_task(self._supervise(process))

    async def close(self) -> None:
        """End the child; calls that are running fail."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            await asyncio.gather(self._supervisor, return_exceptions=True)
            self._supervisor = None
        process, self._process = self._process, None
        self._problem = f"llama.cpp of model '{self._name}' was stopped"
        if process is not None:
            await process.stop()

    async def has_ended(self, process: LlamaProcess, within_seconds: float) -> bool:
        """Return whether a child is not the running one any more, after waiting for that at most so long.

        A caller sees a crash as a broken connection, a moment before the process's end is known.
        """
        deadline = time.monotonic() + within_seconds
        while self._process is process and (left := deadline - time.monotonic()) > 0:
            try:
                async with asyncio.timeout(left):
                    await self._changed.wait()
            except TimeoutError:
                break
        return self._process is not process

    async def _start_process(self) -> LlamaProcess:
        process = await start_llama_process(self._path, self._name, self._context_tokens, self._options)
        self._process, self._problem = process, None
        self._changed.clear()
        return process

    async def _supervise(self, process: LlamaProcess) -> None:
        wait_seconds = _FIRST_WAIT_SECONDS
        while True:
            started = time.monotonic()
            how = await process.wait()
            if time.monotonic() - started > _STABLE_SECONDS:
                wait_seconds = _FIRST_WAIT_SECONDS
            self._process = None
            self._problem = (
                f"llama.cpp's process of model '{self._name}' ended unexpectedly ({how}) and is being started again"
            )
            self._changed.set()
            _log.error("%s", self._problem)
            await process.stop()
            process, wait_seconds = await self._restart(wait_seconds)

    async def _restart(self, wait_seconds: float) -> tuple[LlamaProcess, float]:
        """Return a new child, and how long to wait before the next start."""
        while True:
            await asyncio.sleep(wait_seconds)
            wait_seconds = min(wait_seconds * 2, _LONGEST_WAIT_SECONDS)
            try:
                process = await self._start_process()
            except LlamaStartError as exc:
                self._problem = f"llama.cpp of model '{self._name}' cannot be started again: {exc}"
                _log.error("%s; the next try is in %g s", self._problem, wait_seconds)
            else:
                _log.info("model '%s' is served again (process %d)", self._name, process.pid)
                return process, wait_seconds
