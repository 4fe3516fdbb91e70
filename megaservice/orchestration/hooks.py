"""The `align_*` hooks of a megaservice: overridden by subclass, or assigned to our class or to stock's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from comps import ServiceOrchestrator as StockOrchestrator


def is_overridden(orchestrator: StockOrchestrator, name: str) -> bool:
    """Whether a hook is not stock's own function, which does nothing.

    Told by where the function was written: it may have been assigned to stock's class before we were imported.
    """
    hook: Callable[..., Any] = getattr(orchestrator, name)
    return (hook.__module__, getattr(hook, "__qualname__", "")) != (
        StockOrchestrator.__module__,
        f"{StockOrchestrator.__qualname__}.{name}",
    )


def own_copy(value: Any) -> Any:  # noqa: ANN401 - any JSON
    """Return a copy of JSON-like data whose objects and lists may be changed; everything else is shared."""
    if isinstance(value, dict):
        return {key: own_copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [own_copy(item) for item in value]
    return value
