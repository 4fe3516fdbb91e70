"""The memory of who runs a model: what it says is what it would be told, and it does not grow."""

from __future__ import annotations

from typing import Any

from megaservice.known_providers import remembering


class _Asked:
    """Says of `model-N` that it is run by `provider-N`, and keeps what it was asked."""

    def __init__(self) -> None:
        self.questions: list[tuple[Any, Any]] = []

    def __call__(self, asked: str | None, answered: object) -> str | None:
        self.questions.append((asked, answered))
        is_known = isinstance(answered, str) and answered.startswith("model-")
        return str(answered).replace("model", "provider") if is_known else None


def test_provider_is_asked_for_once_for_each_pair_of_names() -> None:
    """The answer may depend on both; that nobody is known is remembered, too."""
    asked = _Asked()
    provider_of = remembering(asked)
    pairs = [("a", "model-1"), ("b", "model-1"), (None, "model-2"), ("a", "unheard-of")]
    for _ in range(3):
        assert [provider_of(*pair) for pair in pairs] == ["provider-1", "provider-1", "provider-2", None]
    assert asked.questions == pairs


def test_provider_is_told_of_any_number_of_names_without_keeping_them_all() -> None:
    """Strangers choose what they ask for: the memory starts anew when it is full."""
    asked = _Asked()
    provider_of = remembering(asked)
    for number in range(1000):
        assert provider_of(f"name-{number}", f"model-{number}") == f"provider-{number}"
    count = len(asked.questions)
    assert provider_of("name-999", "model-999") == "provider-999"
    assert len(asked.questions) == count == 1000
    assert provider_of("name-0", "model-0") == "provider-0"
    assert len(asked.questions) == 1001


def test_provider_of_names_that_nobody_should_keep_is_asked_for_each_time() -> None:
    """A megabyte as a name, and an upstream's `model` that is none."""
    asked = _Asked()
    provider_of = remembering(asked)
    odd: Any
    for odd in ("x" * 201, ["model-1"], 5, True):
        for _ in range(2):
            assert provider_of(None, odd) is None
    assert provider_of("y" * 201, "model-1") == provider_of("y" * 201, "model-1") == "provider-1"
    assert len(asked.questions) == 10
