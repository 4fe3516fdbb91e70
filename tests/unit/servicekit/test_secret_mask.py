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


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://bob:LEAK@PW1@127.0.0.1:9/x", "postgresql://***@127.0.0.1:9/x"),
        ("http://user:a:b@host/v1", "http://***@host/v1"),
        ("http://user:pa/ss@host/v1", "http://***@host/v1"),
        ("http://user:1a?b#c@host:1", "http://***@host:1"),
        ("http://a:x,http://user:word@host", "http://a:x,http://***@host"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("http://host:80, mail a@b", "http://host:80, mail a@b"),
        ("postgresql://user:password@host:5432/name", "postgresql://user:password@host:5432/name"),
    ],
)
def test_masked_takes_out_passwords_that_are_not_percent_encoded(address: str, shown: str) -> None:
    """Up to the last `@` of the authority, whatever a password holds; ports, paths and the docs' example stay."""
    assert SecretMask({}).masked(address) == shown


def test_masked_takes_no_longer_than_a_text_is_long() -> None:
    """Texts of strangers are masked, too: nothing in them makes the search slow."""
    for text in ("://u:" * 100_000, "://" * 200_000, "://a:b" * 100_000, "://:" + "x:" * 200_000):
        assert SecretMask({}).masked(text) == text


def test_masked_leaves_ordinary_words() -> None:
    """What is no secret, or too short to be one, stays."""
    assert SecretMask(VARIABLES).masked("llama3.2:1b says abc") == "llama3.2:1b says abc"
