"""Who runs a model, remembered: the records ask it of every request, and mostly of the same few models."""

from __future__ import annotations

from collections.abc import Callable

#: Names the provider of an answer: by the model that was asked for, and the one that answered.
ProviderOf = Callable[[str | None, str], str | None]

#: So many pairs of names are remembered: strangers choose what they ask for, so there may be any number of them,
_MAX_PAIRS = 256
#: and of any length: longer ones are looked up each time.
_MAX_CHARS = 200


def remembering(provider_of: ProviderOf) -> ProviderOf:
    """Return the same function with a memory, which is made for one thread.

    Args:
        provider_of: Must always say the same of the same names, as that of a catalog does, which never changes.
    """
    known: dict[tuple[str | None, str], str | None] = {}

    def known_provider_of(asked: str | None, answered: str) -> str | None:
        try:
            return known[asked, answered]
        except (KeyError, TypeError):  # an upstream may answer a list as its `model`
            provider = provider_of(asked, answered)
        if _is_brief(answered) and (asked is None or _is_brief(asked)):
            if len(known) >= _MAX_PAIRS:
                known.clear()
            known[asked, answered] = provider
        return provider

    return known_provider_of


def _is_brief(name: object) -> bool:
    return isinstance(name, str) and len(name) <= _MAX_CHARS
