"""What a mistyped name was probably meant to be."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str], likeness: float = 0.6) -> str:
    """Return " Did you mean 'x'?" for the known name nearest to `name`, else "".

    Args:
        name: As it was given.
        known: What it may have been meant to be.
        likeness: How much alike they must be, 0 to 1; the more, the fewer guesses.
    """
    matches = get_close_matches(name, list(known), n=1, cutoff=likeness)
    return f" Did you mean '{matches[0]}'?" if matches else ""
