"""What is said where LiteLLM is not installed; its answers are tested in tests/fault/test_litellm_engine.py."""

from __future__ import annotations

import sys

import pytest

from servicekit.engines.litellm_engine import LiteLLMEngine
from servicekit.engines.litellm_thread import LiteLLMThread
from servicekit.errors import ConfigurationError
from servicekit.http.client import HttpClient
from servicekit.models import Deployment


async def test_start_names_the_model_and_the_command_where_the_library_is_missing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One sentence, with what to type."""
    monkeypatch.setitem(sys.modules, "litellm", None)
    thread = LiteLLMThread()
    engine = LiteLLMEngine(Deployment(provider="groq", model="llama-3"), thread, HttpClient())
    with pytest.raises(ConfigurationError, match=r"'llama-3' of groq: .* -r requirements-litellm\.lock"):
        await engine.start()
    await thread.close()
