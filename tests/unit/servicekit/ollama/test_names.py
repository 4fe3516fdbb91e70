"""A model's name as Ollama understands it."""

from __future__ import annotations

import pytest

from servicekit.ollama.names import known_name

KNOWN = ["phrasebook", "llama3.2:1b", "team/own", "big:latest", "host:80/one"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("phrasebook", "phrasebook"),
        ("phrasebook:latest", "phrasebook"),
        ("team/own:latest", "team/own"),
        ("host:80/one:latest", "host:80/one"),
        ("big", "big:latest"),
        ("big:latest", "big:latest"),
        ("llama3.2:1b", "llama3.2:1b"),
        ("llama3.2:1b:latest", "llama3.2:1b:latest"),
        ("phrasebook:1b", "phrasebook:1b"),
        (":latest", ":latest"),
        ("nothing", "nothing"),
    ],
)
def test_known_name_is_the_one_that_ollama_would_take(name: str, expected: str) -> None:
    """No tag and `:latest` are the same; any other tag is another model."""
    assert known_name(name, KNOWN) == expected
