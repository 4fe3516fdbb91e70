"""Starts, watches and ends one child process that runs llama.cpp."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import sys
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pydantic import SecretStr

from servicekit.environment import PROJECT_ROOT
from servicekit.errors import ProjectError

_log = logging.getLogger(__name__)

_CHILD_MODULE = "servicekit.engines.llama_child"
#: How long the child may take to end by itself; nothing is lost when it is killed.
_EXIT_SECONDS = 2.0
#: The newest lines of the child's log, kept to explain its end.
_KEPT_LINES = 30
_READ_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class EmbeddedOptions:
    """How llama.cpp runs a model.

    Attributes:
        parallel: How many requests are computed at the same time; more wait their turn.
        threads: Threads for computing; None means one for a small model and one per core for others.
        max_context_tokens: Upper bound of one request's context; the model's own may be shorter.
        max_calls: How many requests may be sent to llama.cpp at a time, the waiting ones included.
        start_timeout_seconds: How long loading the model may take.
        metrics: Whether llama.cpp's own `/metrics` is on.
    """

    parallel: int = 4
    threads: int | None = None
    max_context_tokens: int = 4096
    max_calls: int = 64
    start_timeout_seconds: float = 120.0
    metrics: bool = False


class LlamaStartError(ProjectError):
    """llama.cpp did not start; the message is the reason, without a full stop."""


class LlamaProcess:
    """One running child; made by `start_llama_process`.

    Attributes:
        base_url: Its OpenAI API, up to and including `/v1`.
        api_key: Without it the child answers nobody.
    """

    def __init__(self, process: asyncio.subprocess.Process, name: str, api_key: SecretStr) -> None:
        self.base_url = ""
        self.api_key = api_key
        self._process = process
        self._name = name
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._log_task = asyncio.create_task(self._read_log())

    @property
    def pid(self) -> int:
        """The child's process id."""
        return self._process.pid

    async def wait(self) -> str:
        """Wait until the child has ended and return how, such as "signal 9"."""
        code = await self._process.wait()
        await self._log_task
        return f"signal {-code}" if code < 0 else f"exit code {code}"

    async def stop(self) -> None:
        """End the child; returns within seconds whatever it does. Calling it again does nothing."""
        assert self._process.stdin is not None  # it was started with a pipe  # noqa: S101
        self._process.stdin.close()
        try:
            async with asyncio.timeout(_EXIT_SECONDS):
                await self._process.wait()
        except TimeoutError:
            _log.warning("llama.cpp's process of model '%s' did not end by itself and is killed", self._name)
        finally:
            with suppress(ProcessLookupError):
                self._process.kill()
            self._log_task.cancel()

    async def receive_report(self) -> None:
        """Wait for the child's word that it listens.

        Raises:
            LlamaStartError: It says why not, or ended without a word.
        """
        assert self._process.stdout is not None  # it was started with a pipe  # noqa: S101
        line = await self._process.stdout.readline()
        report: dict[str, str] = orjson.loads(line) if line else {}
        if "url" in report:
            self.base_url = report["url"] + "/v1"
            return
        how = await self.wait()
        raise LlamaStartError(reason_in_log(self._lines) or report.get("error") or f"it ended with {how}")

    async def _read_log(self) -> None:
        assert self._process.stderr is not None  # it was started with a pipe  # noqa: S101
        rest = ""
        while data := await self._process.stderr.read(_READ_BYTES):
            *lines, rest = (rest + data.decode("utf-8", "replace")).split("\n")
            rest = rest[-_READ_BYTES:]
            for line in lines:
                self._lines.append(line)
                _log.info("llama.cpp of '%s': %s", self._name, line)


async def start_llama_process(path: Path, name: str, context_tokens: int, options: EmbeddedOptions) -> LlamaProcess:
    """Start a child and return once it listens.

    The key is random and travels through a pipe, so that neither `ps` nor another user sees it.

    Args:
        path: The GGUF file.
        name: What answers carry as `model`.
        context_tokens: One request's context.
        options: Threads, slots, limits.

    Raises:
        LlamaStartError: It did not start, or not in time.
    """
    api_key = SecretStr(secrets.token_urlsafe(32))
    process = await _spawn()
    child = LlamaProcess(process, name, api_key)
    try:
        async with asyncio.timeout(options.start_timeout_seconds):
            await _send(process, _config(path, name, context_tokens, options, api_key))
            await child.receive_report()
    except TimeoutError as exc:
        await child.stop()
        raise LlamaStartError(f"it was not ready after {options.start_timeout_seconds:g} s") from exc
    except BaseException:
        await child.stop()
        raise
    return child


async def _spawn() -> asyncio.subprocess.Process:
    try:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", _CHILD_MODULE),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            cwd=PROJECT_ROOT,
            start_new_session=True,  # a Ctrl-C or a supervisor's signal to the group is the parent's to handle
        )
    except OSError as exc:
        raise LlamaStartError(f"no process can be started ({exc.strerror})") from exc


async def _send(process: asyncio.subprocess.Process, config: dict[str, Any]) -> None:
    assert process.stdin is not None  # it was started with a pipe  # noqa: S101
    process.stdin.write(orjson.dumps(config) + b"\n")
    with suppress(ConnectionError):  # a child that has ended already is explained by its missing report
        await process.stdin.drain()


def _config(path: Path, name: str, context_tokens: int, options: EmbeddedOptions, api_key: SecretStr) -> dict[str, Any]:
    return {
        "path": str(path),
        "name": name,
        "api_key": api_key.get_secret_value(),
        "parent_pid": os.getpid(),
        "parallel": options.parallel,
        "context_tokens": context_tokens,
        "threads": options.threads,
        # llama.cpp ties a thread to each connection: with fewer, one waits for another's keep-alive to run out.
        "http_threads": options.max_calls + 8,
        "metrics": options.metrics,
    }


def reason_in_log(lines: Sequence[str]) -> str | None:
    """Return what llama.cpp wrote about a model that it cannot load, None if it wrote nothing of the kind."""
    for line in lines:
        found = re.search(r"error loading model: (?!llama_model_loader: failed to load model)(.*)", line)
        if found:
            return found[1].strip()
    errors = [line for line in lines if re.match(r"[\d.]+ E ", line)]
    return errors[0].split(" E ", 1)[1].strip() if errors else None
