"""The dialects by name, and how a file shows which one it is written in."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from enum import StrEnum

#: How like a known key an unknown one must be to be a slip.
_SLIP = 0.8


class Dialect(StrEnum):
    """A way to write a pipeline."""

    #: `opea_micro_services` and `opea_mega_service`.
    OPEA = "opea"
    #: The exporter's `mega.yaml`: `micro_services` and `mega_service`.
    MEGA = "mega"
    #: The resource `GMConnector` of the GenAI Microservices Connector.
    GMC = "gmc"


#: The top-level keys of each dialect.
TOP_KEYS: Mapping[Dialect, tuple[str, ...]] = {
    Dialect.OPEA: ("opea_micro_services", "opea_mega_service"),
    Dialect.MEGA: ("global_envs", "micro_services", "mega_service"),
    Dialect.GMC: ("apiVersion", "kind", "metadata", "spec", "status"),
}


def recognise(keys: list[str]) -> Dialect | None:
    """Return the dialect of a file with these top-level keys; None if they belong to none.

    A key that is only nearly right counts as that key, so that the dialect's own reader can name the slip.
    """
    exact = {dialect: len(set(keys) & set(known)) for dialect, known in TOP_KEYS.items()}
    close = {
        dialect: sum(bool(get_close_matches(key, known, 1, _SLIP)) for key in keys)
        for dialect, known in TOP_KEYS.items()
    }
    best = max(TOP_KEYS, key=lambda dialect: (exact[dialect], close[dialect]))
    return best if exact[best] or close[best] else None
