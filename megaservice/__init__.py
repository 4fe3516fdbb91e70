"""The gateway: one HTTP front door that runs pipelines of microservices.

`from megaservice import ServiceOrchestrator` gives the drop-in for comps' class.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from megaservice.orchestration.orchestrator import ServiceOrchestrator

__all__ = ["ServiceOrchestrator"]


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a module's attribute can be anything
    """Import the orchestrator when it is asked for: importing comps costs most of a second."""
    if name == "ServiceOrchestrator":
        from megaservice.orchestration.orchestrator import ServiceOrchestrator  # noqa: PLC0415 - see above

        return ServiceOrchestrator
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
