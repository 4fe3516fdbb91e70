"""The model behind llama.cpp's HTTP server, asked as the services ask it."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from microservices.llm.phrasebook.prompts import OUTSIDE, PROFILE_PATH, TRANSLATE_PROMPT
from servicekit.engines.llama_process import EmbeddedOptions, LlamaProcess, start_llama_process

_CONTEXT_TOKENS = 1024
_PARALLEL = 4
_LONGEST_GRADE = 120
_TIMEOUT_SECONDS = 600.0


@dataclass(frozen=True)
class Timings:
    """Of one answer, as llama.cpp measured them."""

    prompt_ms: float
    tokens: int
    tokens_per_second: float


class Model:
    """A running model; an asynchronous context manager."""

    def __init__(self, path: Path, threads: int = 1) -> None:
        """Name the GGUF file; nothing is started yet."""
        self._path = path
        self._threads = threads
        self._process: LlamaProcess | None = None
        self._client = httpx.AsyncClient(timeout=_TIMEOUT_SECONDS)
        self._turns = asyncio.Semaphore(_PARALLEL)
        self._grading = json.loads(PROFILE_PATH.read_text("utf-8"))["grading"]

    async def __aenter__(self) -> Self:
        options = EmbeddedOptions(parallel=_PARALLEL, threads=self._threads)
        self._process = await start_llama_process(self._path, "phrasebook", _CONTEXT_TOKENS, options)
        return self

    async def __aexit__(self, *_exc: object) -> None:
        await self._client.aclose()
        if self._process:
            await self._process.stop()

    async def _answer(self, system: str, user: str, **extra: object) -> dict[str, Any]:
        if self._process is None:
            raise RuntimeError("the model is not running: use `async with Model(...)`")
        messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
        body = {"messages": messages, "temperature": 0, **extra}
        headers = {"Authorization": f"Bearer {self._process.api_key.get_secret_value()}"}
        async with self._turns:
            response = await self._client.post(f"{self._process.base_url}/chat/completions", json=body, headers=headers)
        response.raise_for_status()
        answer: dict[str, Any] = response.json()
        return answer

    async def translate(self, text: str) -> str:
        """The translation, or the mark and the fixed sentence."""
        answer = await self._answer(TRANSLATE_PROMPT, text)
        content: str = answer["choices"][0]["message"]["content"]
        return content

    async def translate_all(self, texts: Sequence[str]) -> list[str]:
        """The translations, in the order of the texts."""
        return list(await asyncio.gather(*(self.translate(text) for text in texts)))

    async def grade(self, source: str, candidate: str) -> tuple[float | None, str]:
        """Score and feedback, constrained by the profile's schema."""
        schema = {"name": "grade", "schema": self._grading["schema"], "strict": True}
        user = self._grading["user_template"].replace("{source}", source).replace("{candidate}", candidate)
        form = {"type": "json_schema", "json_schema": schema}
        answer = await self._answer(self._grading["system"], user, response_format=form, max_tokens=_LONGEST_GRADE)
        try:
            verdict = json.loads(answer["choices"][0]["message"]["content"])
        except ValueError:  # cut off: it repeated itself
            return None, ""
        return verdict["score"], verdict["feedback"]

    async def grade_all(self, pairs: Sequence[tuple[str, str]]) -> list[tuple[float | None, str]]:
        """The grades, in the order of the pairs."""
        return list(await asyncio.gather(*(self.grade(*pair) for pair in pairs)))

    async def timings(self, text: str) -> Timings:
        """How fast one translation was, asked alone."""
        measured = (await self._answer(TRANSLATE_PROMPT, text, cache_prompt=False))["timings"]
        return Timings(measured["prompt_ms"], measured["predicted_n"], measured["predicted_per_second"])


def says_outside(answer: str) -> bool:
    """Whether an answer only says that the text is outside the phrasebook."""
    return answer.startswith(OUTSIDE)
