"""What is taken out of texts, and what is left."""

from __future__ import annotations

import pytest

from servicekit.secret_mask import SecretMask

VARIABLES = {
    "API_KEYS": "first-key, second-key",
    "GROQ_API_KEY": "gsk_0123456789",
    "HF_TOKEN": "hf_abcdef",
    "DB_PASSWORD": "correct horse",
    "MY_MODEL_ACCESS": "odd-name-secret",
    "LLM_MODEL_ID": "llama3.2:1b",
    "SHORT_KEY": "abc",
}


@pytest.mark.parametrize("secret", ["first-key", "second-key", "gsk_0123456789", "hf_abcdef", "correct horse"])
def test_masked_takes_out_each_secret_of_the_configuration(secret: str) -> None:
    """Each of several keys in one variable, wherever it stands."""
    masked = SecretMask(VARIABLES).masked(f'{{"message": "Incorrect API key provided: {secret}."}}')
    assert masked == '{"message": "Incorrect API key provided: ***."}'


def test_masked_takes_out_keys_that_are_named_elsewhere() -> None:
    """models.json and pipelines may call a key's variable anything: whoever reads it adds it."""
    text, mask = "odd-name-secret", SecretMask(VARIABLES)
    assert mask.masked(text) == text
    mask.add(text)
    assert mask.masked(text) == "***"


def test_masked_takes_out_the_user_info_of_urls() -> None:
    """Credentials in an address are none of a reader's business; an address in a text without any stays."""
    mask = SecretMask({})
    assert mask.masked("http://user:word@host:1/v1?q=a@b") == "http://***@host:1/v1?q=a@b"
    assert mask.masked("http://host/a@b, mail a@b") == "http://host/a@b, mail a@b"


def test_masked_leaves_ordinary_words() -> None:
    """What is no secret, or too short to be one, stays."""
    assert SecretMask(VARIABLES).masked("llama3.2:1b says abc") == "llama3.2:1b says abc"
